// The requests of the store as types, and their bytes: a version, a kind, the fields. What was replicated once must be
// readable for ever: new kinds and new versions may come, old ones stay.
using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace KeyValue
{
    /// <summary>A change of the store.</summary>
    internal abstract class Request
    {
        private const byte Version = 1;

        private enum Kind : byte
        {
            Put = 1,
            Delete = 2,
            Swap = 3
        }

        public string Key;

        /// <summary>The bytes to replicate.</summary>
        public byte[] Encode()
        {
            var bytes = new MemoryStream();
            var writer = new BinaryWriter(bytes, Encoding.UTF8);
            writer.Write(Version);
            writer.Write((byte)OwnKind);
            writer.Write(Key);
            WriteFields(writer);
            writer.Flush();
            return bytes.ToArray();
        }

        /// <summary>The request in these bytes; null when there is none, which is the same on every replica.</summary>
        public static Request Decode(byte[] bytes)
        {
            try
            {
                var stream = new MemoryStream(bytes);
                var reader = new BinaryReader(stream, Encoding.UTF8);
                var known = reader.ReadByte() == Version;
                var request = known ? Create((Kind)reader.ReadByte()) : null;
                if (request == null)
                {
                    return null;
                }
                request.Key = reader.ReadString();
                request.ReadFields(reader);
                return stream.Position == stream.Length ? request : null;
            }
            catch (IOException)
            {
                return null;
            }
            catch (FormatException)
            {
                return null;
            }
        }

        private static Request Create(Kind kind)
        {
            switch (kind)
            {
                case Kind.Put: return new Put();
                case Kind.Delete: return new Delete();
                case Kind.Swap: return new Swap();
                default: return null;
            }
        }

        private Kind OwnKind
        {
            get { return this is Put ? Kind.Put : this is Delete ? Kind.Delete : Kind.Swap; }
        }

        /// <summary>Changes the state, depending on nothing but the state and this request; the result for who asked.</summary>
        public abstract string Execute(IDictionary<string, string> values);

        protected abstract void WriteFields(BinaryWriter writer);

        protected abstract void ReadFields(BinaryReader reader);
    }

    /// <summary>Sets a value.</summary>
    internal sealed class Put : Request
    {
        public string Value;

        public override string Execute(IDictionary<string, string> values)
        {
            values[Key] = Value;
            return "put";
        }

        protected override void WriteFields(BinaryWriter writer)
        {
            writer.Write(Value);
        }

        protected override void ReadFields(BinaryReader reader)
        {
            Value = reader.ReadString();
        }
    }

    /// <summary>Removes a key.</summary>
    internal sealed class Delete : Request
    {
        public override string Execute(IDictionary<string, string> values)
        {
            return values.Remove(Key) ? "deleted" : "not there";
        }

        protected override void WriteFields(BinaryWriter writer)
        {
        }

        protected override void ReadFields(BinaryReader reader)
        {
        }
    }

    /// <summary>Sets a value if the present one is as expected.</summary>
    internal sealed class Swap : Request
    {
        public string Expected;
        public string Value;

        public override string Execute(IDictionary<string, string> values)
        {
            string present;
            if (!values.TryGetValue(Key, out present) || present != Expected)
            {
                return "not swapped: " + (present ?? "not there");
            }
            values[Key] = Value;
            return "swapped";
        }

        protected override void WriteFields(BinaryWriter writer)
        {
            writer.Write(Expected);
            writer.Write(Value);
        }

        protected override void ReadFields(BinaryReader reader)
        {
            Expected = reader.ReadString();
            Value = reader.ReadString();
        }
    }
}
