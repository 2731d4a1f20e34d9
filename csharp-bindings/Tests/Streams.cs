// Checkpoint streams: in callbacks and over files.
using System;
using System.IO;
using System.Linq;

namespace ManagedRSLib.Tests
{
    internal static class Streams
    {
        private const int Block = 4194296;

        private static byte[] Pattern(int length)
        {
            var bytes = new byte[length];
            for (var index = 0; index < length; index++)
            {
                bytes[index] = (byte)(index * 7 + index / 251);
            }
            return bytes;
        }

        /// <summary>Runs an action on a machine with a state of this many bytes and the file of its checkpoint.</summary>
        private static void WithCheckpoint(int length, Action<TestMachine, string> action)
        {
            using (var machine = new TestMachine { State = Pattern(length) })
            {
                action(machine, machine.Lead().Checkpoint());
            }
        }

        private static byte[] ReadAll(Stream stream)
        {
            var all = new MemoryStream();
            var buffer = new byte[100000];
            for (var read = stream.Read(buffer, 0, buffer.Length); read > 0; read = stream.Read(buffer, 0, buffer.Length))
            {
                all.Write(buffer, 0, read);
            }
            return all.ToArray();
        }

        // [NET-13] [NET-15] [HARD-606] [HARD-607] [HARD-609] [HARD-610] A reader: properties, short reads at blocks, the end,
        // every way to seek, arguments.
        [Test]
        public static void ReadersReadAndSeek()
        {
            var length = Block + 1000;
            WithCheckpoint(length, (machine, file) =>
            {
                using (var stream = new ManagedRSLCheckpointStream(file, true))
                {
                    Expect.True(stream.CanRead && stream.CanSeek && !stream.CanWrite && !stream.CanTimeout, "abilities");
                    Expect.Same((long)length, stream.Length, "Length");
                    Expect.Same(file, stream.FileName, "FileName");
                    var buffer = new byte[length + 10];
                    Expect.Same(Block, stream.Read(buffer, 5, length), "a read over the end of a block");
                    Expect.Same(1000, stream.Read(buffer, 5 + Block, 1005), "a read over the end");
                    Expect.True(buffer.Skip(5).Take(length).SequenceEqual(machine.State), "the bytes");
                    Expect.Same(0, stream.Read(buffer, 0, 1), "a read at the end");
                    Expect.Same(-1, stream.ReadByte(), "ReadByte at the end");
                    Expect.Same((long)length, stream.Position, "Position at the end");

                    Expect.Same(3L, stream.Seek(3, SeekOrigin.Begin), "Begin");
                    Expect.Same((int)machine.State[3], stream.ReadByte(), "the byte there");
                    Expect.Same(14L, stream.Seek(10, SeekOrigin.Current), "Current");
                    Expect.Same(0L, stream.Seek(-99, SeekOrigin.Current), "before the beginning");
                    Expect.Same((long)length - 10, stream.Seek(10, SeekOrigin.End), "End, 10");
                    Expect.Same((int)machine.State[length - 10], stream.ReadByte(), "the byte there");
                    Expect.Same((long)length - 10, stream.Seek(-10, SeekOrigin.End), "End, -10");
                    Expect.Same(0L, stream.Seek(long.MinValue, SeekOrigin.End), "End, the smallest number");
                    Expect.Same((long)length, stream.Seek(long.MaxValue, SeekOrigin.Begin), "past the end");
                    stream.Position = 7;
                    Expect.Same((long)length, stream.Seek(long.MaxValue, SeekOrigin.Current), "a sum that overflows");
                    stream.Position = 7;
                    Expect.Same((int)machine.State[7], stream.ReadByte(), "the byte at Position");

                    Expect.Same(0, stream.Read(new byte[0], 0, 0), "nothing into nothing");
                    Expect.Throws<ArgumentNullException>(() => stream.Read(null, 0, 0), "no array");
                    Expect.Throws<ArgumentOutOfRangeException>(() => stream.Read(buffer, -1, 1), "a negative offset");
                    Expect.Throws<ArgumentOutOfRangeException>(() => stream.Read(buffer, 0, -1), "a negative count");
                    Expect.Throws<ArgumentException>(() => stream.Read(buffer, buffer.Length, 1), "past the array");
                    Expect.Throws<ArgumentException>(() => stream.Read(buffer, 2, int.MaxValue), "a sum that overflows");
                    Expect.Throws<NotSupportedException>(() => stream.Write(buffer, 0, 1), "Write");
                    Expect.Throws<NotSupportedException>(() => stream.WriteByte(1), "WriteByte");
                    Expect.Throws<NotSupportedException>(() => stream.SetLength(1), "SetLength");
                    stream.Flush();
                }
            });
        }

        // [NET-14] [HARD-611] [HARD-613] What cannot be opened, damaged blocks, closed streams.
        [Test]
        public static void FailuresAreExceptions()
        {
            WithCheckpoint(100, (machine, file) =>
            {
                Expect.Throws<ArgumentException>(() => new ManagedRSLCheckpointStream(file, false), "a writer with two parameters");
                Expect.Throws<ArgumentException>(() => new ManagedRSLCheckpointStream(null, true), "no name");
                var error = Expect.Throws<ArgumentException>(() => new ManagedRSLCheckpointStream(file + "x", true), "no such file");
                Expect.True(error.Message.StartsWith("Can not open given file"), error.Message);
                Expect.Same(unchecked((int)0x80070017), System.Runtime.InteropServices.Marshal.GetHRForException(error.InnerException), "HResult");

                var copy = file + ".damaged";
                var bytes = File.ReadAllBytes(file);
                bytes[bytes.Length - 20] ^= 1;
                File.WriteAllBytes(copy, bytes);
                using (var damaged = new ManagedRSLCheckpointStream(copy, true))
                {
                    var read = Expect.Throws<IOException>(() => damaged.Read(new byte[10], 0, 10), "a damaged block");
                    Expect.Same(unchecked((int)0x80070017), System.Runtime.InteropServices.Marshal.GetHRForException(read), "HResult");
                    Expect.Throws<IOException>(() => damaged.Seek(5, SeekOrigin.Begin), "a seek into it");
                    Expect.Same(0L, damaged.Position, "Position after failures");
                }

                // Readers that are never closed are released by their finalizers.
                for (var count = 0; count < 3000; count++)
                {
                    new ManagedRSLCheckpointStream(file, true).ReadByte();
                    if (count % 500 == 0)
                    {
                        GC.Collect();
                        GC.WaitForPendingFinalizers();
                    }
                }

                var closed = new ManagedRSLCheckpointStream(file, true);
                closed.Close();
                closed.Close();
                Expect.True(!closed.CanRead && !closed.CanWrite && !closed.CanSeek, "abilities after Close");
                Expect.Throws<ObjectDisposedException>(() => closed.ReadByte(), "ReadByte after Close");
                Expect.Throws<ObjectDisposedException>(() => closed.Length.ToString(), "Length after Close");
                Expect.Throws<ObjectDisposedException>(() => closed.Position = 0, "Position after Close");
                Expect.Throws<ObjectDisposedException>(() => closed.Write(new byte[1], 0, 1), "Write after Close");
            });
        }

        // [NET-16] [HARD-614] A writer like another checkpoint: its arguments, its life, the file.
        [Test]
        public static void WritersLikeAnotherCheckpoint()
        {
            WithCheckpoint(100, (machine, file) =>
            {
                var copy = file + ".copy";
                using (var source = new ManagedRSLCheckpointStream(file, true))
                {
                    Expect.Throws<ArgumentException>(() => new ManagedRSLCheckpointStream(copy, true, source), "a reader with three parameters");
                    Expect.Throws<ArgumentNullException>(() => new ManagedRSLCheckpointStream(null, false, source), "no name");
                    Expect.Throws<ArgumentNullException>(() => new ManagedRSLCheckpointStream(copy, false, null), "no source");
                    Expect.Throws<ArgumentException>(() => new ManagedRSLCheckpointStream(Path.Combine(copy, "x"), false, source), "a directory that is not there");
                    using (var writer = new ManagedRSLCheckpointStream(copy, false, source))
                    {
                        Expect.True(!writer.CanRead && !writer.CanSeek && writer.CanWrite, "abilities");
                        Expect.Same(copy, writer.FileName, "FileName");
                        writer.Write(machine.State, 10, 20);
                        writer.WriteByte(77);
                        writer.Write(new byte[0], 0, 0);
                        Expect.True(writer.Length == 21 && writer.Position == 21, "Length and Position");
                        Expect.Throws<NotSupportedException>(() => writer.Read(new byte[1], 0, 1), "Read");
                        Expect.Throws<NotSupportedException>(() => writer.ReadByte(), "ReadByte");
                        Expect.Throws<NotSupportedException>(() => writer.Seek(0, SeekOrigin.Begin), "Seek");
                        Expect.Throws<NotSupportedException>(() => writer.Position = 0, "Position");
                        Expect.Throws<ArgumentException>(() => writer.Write(machine.State, 90, 20), "past the array");
                        Expect.Throws<ArgumentException>(() => new ManagedRSLCheckpointStream(copy + "2", false, writer), "a writer as source");
                    }
                }
                using (var reader = new ManagedRSLCheckpointStream(copy, true))
                {
                    Expect.Bytes(machine.State.Skip(10).Take(20).Concat(new byte[] { 77 }).ToArray(), ReadAll(reader), "the copy");
                }

                var early = new ManagedRSLCheckpointStream(file, true);
                var late = new ManagedRSLCheckpointStream(file + ".late", false, early);
                late.WriteByte(1);
                early.Close();
                Expect.Throws<IOException>(() => late.Close(), "a source that was closed first");
                Expect.True(!File.Exists(file + ".late"), "the incomplete file is still there");
                Expect.Throws<ArgumentException>(() => new ManagedRSLCheckpointStream(copy, false, early), "a closed source");
            });
        }

        // [NET-17] [HARD-608] [HARD-612] Streams of callbacks: closing them is harmless, keeping them useless; what LoadState
        // gets is what SaveState wrote.
        [Test]
        public static void StreamsOfCallbacksAreValidInThemOnly()
        {
            ManagedRSLCheckpointStream writer = null, reader = null;
            var machine = new TestMachine();
            using (machine)
            {
                machine.OnSave = stream =>
                {
                    writer = stream;
                    Expect.True(stream.FileName == null && stream.CanWrite && !stream.CanRead, "a writer");
                    using (var text = new StreamWriter(stream))
                    {
                        text.Write("written through a closed StreamWriter");
                    }
                    Expect.Throws<ObjectDisposedException>(() => stream.WriteByte(1), "a write after Close");
                };
                var file = machine.Lead().Checkpoint();
                Expect.True(!writer.CanWrite, "the writer after its callback");
                Expect.Throws<ObjectDisposedException>(() => writer.Write(new byte[1], 0, 1), "a kept writer");
                machine.UnloadThisOne();

                string loaded = null;
                machine.OnLoad = stream =>
                {
                    reader = stream;
                    Expect.Same(file, stream.FileName, "the path in LoadState");
                    stream.Seek(8, SeekOrigin.Begin);
                    stream.Position = 0;
                    loaded = new StreamReader(stream).ReadToEnd();
                    return true;
                };
                machine.Lead();
                Expect.Same("written through a closed StreamWriter", loaded, "the state");
                Expect.Throws<ObjectDisposedException>(() => reader.ReadByte(), "a kept reader");
            }
        }
    }
}
