// The replicated state of the host contract: a count, a hash over all requests, and a little more.
using System;
using System.IO;
using System.Text;

namespace RSLHost
{
    internal sealed class HostState
    {
        private const ulong Offset = 14695981039346656037;
        private const ulong Prime = 1099511628211;
        private const string Magic = "RSLORCL1";
        private const int LongestLast = 4096;
        private const int Fixed = 44;

        public static readonly byte[] SaveHead = { 0, (byte)'S', (byte)'A', (byte)'V' };
        public static readonly byte[] PadHead = { 0, (byte)'P', (byte)'A', (byte)'D' };

        public ulong Count;
        public ulong Hash = Offset;
        public ulong LastSeq;
        public ulong Pad;
        public byte[] Last = new byte[0];

        /// <summary>Executes a request; whether it asks for a checkpoint.</summary>
        public bool Execute(ulong seq, byte[] request)
        {
            HashBytes(BitConverter.GetBytes((uint)request.Length));
            HashBytes(request);
            Count++;
            LastSeq = seq;
            Last = new byte[Math.Min(request.Length, LongestLast)];
            Buffer.BlockCopy(request, 0, Last, 0, Last.Length);
            if (request.Length >= 12 && StartsWith(request, PadHead))
            {
                Pad = BitConverter.ToUInt64(request, 4);
            }
            return StartsWith(request, SaveHead);
        }

        public HostState Copy()
        {
            return (HostState)MemberwiseClone();
        }

        /// <summary>Writes the checkpoint payload.</summary>
        public void Save(Stream output)
        {
            var head = new MemoryStream();
            var writer = new BinaryWriter(head);
            writer.Write(Encoding.ASCII.GetBytes(Magic));
            writer.Write(Count);
            writer.Write(Hash);
            writer.Write(LastSeq);
            writer.Write(Pad);
            writer.Write((uint)Last.Length);
            writer.Write(Last);
            writer.Flush();
            output.Write(head.GetBuffer(), 0, (int)head.Length);
            var chunk = new byte[64 * 1024];
            for (ulong at = 0; at < Pad; at += (ulong)chunk.Length)
            {
                var count = (int)Math.Min((ulong)chunk.Length, Pad - at);
                for (var index = 0; index < count; index++)
                {
                    chunk[index] = PadByte(at + (ulong)index);
                }
                output.Write(chunk, 0, count);
            }
        }

        /// <summary>Reads a checkpoint payload, checked to the last byte; null and a few words when it is wrong.</summary>
        public static HostState Load(Stream input, out string why)
        {
            var head = new byte[Fixed];
            if (!Fill(input, head, head.Length))
            {
                why = "short header";
                return null;
            }
            if (Encoding.ASCII.GetString(head, 0, 8) != Magic)
            {
                why = "bad magic";
                return null;
            }
            var length = BitConverter.ToUInt32(head, 40);
            var state = new HostState
            {
                Count = BitConverter.ToUInt64(head, 8),
                Hash = BitConverter.ToUInt64(head, 16),
                LastSeq = BitConverter.ToUInt64(head, 24),
                Pad = BitConverter.ToUInt64(head, 32),
                Last = new byte[Math.Min(length, LongestLast)]
            };
            if (length > LongestLast || !Fill(input, state.Last, state.Last.Length))
            {
                why = "bad last";
                return null;
            }
            if (state.Pad != (ulong)input.Length - Fixed - length)
            {
                why = "bad size";
                return null;
            }
            why = CheckPad(input, state.Pad) ? null : "bad pad";
            return why == null ? state : null;
        }

        private static bool CheckPad(Stream input, ulong pad)
        {
            var chunk = new byte[64 * 1024];
            for (ulong at = 0; at < pad; at += (ulong)chunk.Length)
            {
                var count = (int)Math.Min((ulong)chunk.Length, pad - at);
                if (!Fill(input, chunk, count))
                {
                    return false;
                }
                for (var index = 0; index < count; index++)
                {
                    if (chunk[index] != PadByte(at + (ulong)index))
                    {
                        return false;
                    }
                }
            }
            return true;
        }

        /// <summary>Reads until the buffer is full: one Read ends where a block of the file does.</summary>
        private static bool Fill(Stream input, byte[] buffer, int count)
        {
            var filled = 0;
            while (filled < count)
            {
                var read = input.Read(buffer, filled, count - filled);
                if (read == 0)
                {
                    return false;
                }
                filled += read;
            }
            return true;
        }

        private static byte PadByte(ulong index)
        {
            return unchecked((byte)(index * 131 + 7));
        }

        private static bool StartsWith(byte[] request, byte[] head)
        {
            for (var index = 0; index < head.Length; index++)
            {
                if (index >= request.Length || request[index] != head[index])
                {
                    return false;
                }
            }
            return true;
        }

        private void HashBytes(byte[] bytes)
        {
            foreach (var value in bytes)
            {
                Hash = unchecked((Hash ^ value) * Prime);
            }
        }
    }
}
