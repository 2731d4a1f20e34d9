// A checkpoint as a stream: read in LoadState, written in SaveState, or over files.
using System;
using System.IO;
using System.Runtime.CompilerServices;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>
    /// The state in a checkpoint. Readers can seek; writers append. A stream given to a callback is valid during that
    /// callback only, and may be closed in it without harm. Not for use by several threads at once.
    /// </summary>
    public unsafe class ManagedRSLCheckpointStream : Stream
    {
        private readonly string fileName;
        private readonly bool isOwner;
        private readonly ManagedRSLCheckpointStream source;
        private ReaderHandle reader;
        private WriterHandle writer;
        private long position;

        /// <summary>Creates or overwrites a file that gets new state under the header of another checkpoint.</summary>
        /// <param name="fileName">The file.</param>
        /// <param name="reader">False.</param>
        /// <param name="readerStr">The other checkpoint, opened by the constructor with two parameters; it has to stay open
        /// until this stream is closed.</param>
        /// <exception cref="ArgumentNullException">A name or a stream is null.</exception>
        /// <exception cref="ArgumentException">The file cannot be created, or <paramref name="reader"/> is true.</exception>
        public ManagedRSLCheckpointStream(string fileName, bool reader, ManagedRSLCheckpointStream readerStr)
        {
            if (fileName == null || readerStr == null)
            {
                throw new ArgumentNullException(fileName == null ? "fileName" : "readerStr");
            }
            if (reader)
            {
                throw new ArgumentException("A stream like another one is a writer", "reader");
            }
            if (readerStr.reader == null || !readerStr.isOwner)
            {
                throw new ArgumentException("It is no open checkpoint file", "readerStr");
            }
            uint result;
            fixed (byte* path = Utf8.Bytes(fileName))
            {
                result = NativeMethods.rsl_writer_create_like(readerStr.reader, path, out writer);
            }
            if (result != Abi.RSL_WIN32_OK)
            {
                writer.Dispose();
                throw new ArgumentException("Can not open given file", "fileName", Status.Win32(result, fileName));
            }
            this.fileName = fileName;
            isOwner = true;
            source = readerStr;
        }

        /// <summary>Opens a checkpoint file for reading.</summary>
        /// <param name="fileName">The file.</param>
        /// <param name="reader">True.</param>
        /// <exception cref="ArgumentException">It cannot be opened or is no checkpoint, or <paramref name="reader"/> is
        /// false.</exception>
        public ManagedRSLCheckpointStream(string fileName, bool reader)
        {
            if (!reader)
            {
                throw new ArgumentException("A stream over an existing file is a reader", "reader");
            }
            if (fileName == null)
            {
                throw new ArgumentException("Can not open given file", "fileName");
            }
            NativeLibrary.Load();
            var result = Open(fileName, out this.reader);
            if (result != Abi.RSL_WIN32_OK)
            {
                this.reader.Dispose();
                this.reader = null;
                throw new ArgumentException("Can not open given file", "fileName", Status.Win32(result, fileName));
            }
            this.fileName = fileName;
            isOwner = true;
        }

        /// <summary>The reader of LoadState.</summary>
        internal ManagedRSLCheckpointStream(ReaderHandle borrowed)
        {
            reader = borrowed;
            fileName = Utf8.Get(NativeMethods.rsl_reader_path(borrowed));
        }

        /// <summary>The writer of SaveState.</summary>
        internal ManagedRSLCheckpointStream(WriterHandle borrowed)
        {
            writer = borrowed;
        }

        /// <summary>The file; null for the writer of SaveState.</summary>
        public virtual string FileName
        {
            get { return fileName; }
        }

        /// <summary>True for an open reader.</summary>
        public override bool CanRead
        {
            get { return reader != null; }
        }

        /// <summary>True for an open reader.</summary>
        public override bool CanSeek
        {
            get { return reader != null; }
        }

        /// <summary>True for an open writer.</summary>
        public override bool CanWrite
        {
            get { return writer != null; }
        }

        /// <summary>False.</summary>
        public override bool CanTimeout
        {
            get { return false; }
        }

        /// <summary>Bytes of state: all of a reader, those written so far.</summary>
        public override long Length
        {
            get
            {
                CheckOpen();
                return reader != null ? (long)NativeMethods.rsl_reader_size(reader) : position;
            }
        }

        /// <summary>Bytes of state read or written so far.</summary>
        public override long Position
        {
            get
            {
                CheckOpen();
                return position;
            }
            set { Seek(value, SeekOrigin.Begin); }
        }

        /// <summary>
        /// Reads 1 to <paramref name="count"/> bytes, fewer where a block of the file ends: call it in a loop. 0 at the end.
        /// </summary>
        /// <exception cref="IOException">The checkpoint is damaged; HResult holds the Win32 number.</exception>
        public override int Read(byte[] buffer, int offset, int count)
        {
            NeedReader();
            CheckRange(buffer, offset, count);
            if (count == 0)
            {
                return 0;
            }
            fixed (byte* bytes = buffer)
            {
                return ReadInto(bytes + offset, count);
            }
        }

        /// <summary>The next byte; -1 at the end.</summary>
        /// <exception cref="IOException">The checkpoint is damaged; HResult holds the Win32 number.</exception>
        public override int ReadByte()
        {
            NeedReader();
            byte value;
            return ReadInto(&value, 1) == 0 ? -1 : value;
        }

        /// <summary>
        /// Moves a reader, within its state. <see cref="SeekOrigin.End"/> counts backwards from the end, whatever the sign.
        /// </summary>
        /// <returns>The new position.</returns>
        /// <exception cref="IOException">The checkpoint is damaged there.</exception>
        public override long Seek(long offset, SeekOrigin origin)
        {
            NeedReader();
            var length = Length;
            long target;
            switch (origin)
            {
                case SeekOrigin.Begin:
                    target = offset;
                    break;
                case SeekOrigin.Current:
                    // The position is not negative: only the upper end can be passed.
                    target = offset > long.MaxValue - position ? long.MaxValue : position + offset;
                    break;
                case SeekOrigin.End:
                    target = offset == long.MinValue ? 0 : length - Math.Abs(offset);
                    break;
                default:
                    throw new ArgumentException("Unknown origin", "origin");
            }
            target = Math.Max(0, Math.Min(length, target));
            if (target == position)
            {
                return position;
            }
            var result = NativeMethods.rsl_reader_seek(reader, (ulong)target);
            if (result != Abi.RSL_WIN32_OK)
            {
                throw Status.Win32(result, "The checkpoint cannot be read there");
            }
            position = target;
            return position;
        }

        /// <summary>Not supported.</summary>
        public override void SetLength(long value)
        {
            throw new NotSupportedException();
        }

        /// <summary>Appends to a writer.</summary>
        /// <exception cref="IOException">The file cannot be written; the checkpoint will fail.</exception>
        public override void Write(byte[] buffer, int offset, int count)
        {
            NeedWriter();
            CheckRange(buffer, offset, count);
            if (count == 0)
            {
                return;
            }
            fixed (byte* bytes = buffer)
            {
                Append(bytes + offset, count);
            }
        }

        /// <summary>Appends a byte to a writer.</summary>
        /// <exception cref="IOException">The file cannot be written; the checkpoint will fail.</exception>
        public override void WriteByte(byte value)
        {
            NeedWriter();
            Append(&value, 1);
        }

        /// <summary>Does nothing: what was written is made durable when the checkpoint is complete.</summary>
        public override void Flush()
        {
        }

        /// <summary>
        /// Ends the use of the stream. For a writer like another stream this completes the file; it fails, and the file goes,
        /// when that stream was closed first.
        /// </summary>
        /// <exception cref="IOException">The file cannot be completed; it is gone.</exception>
        public override void Close()
        {
            base.Close();
        }

        /// <summary>As <see cref="Close"/>; handles that nobody closed are released by their own finalizers.</summary>
        protected override void Dispose(bool disposing)
        {
            try
            {
                if (disposing)
                {
                    Finish();
                }
            }
            finally
            {
                Detach();
                base.Dispose(disposing);
            }
        }

        /// <summary>Lets go of the native stream.</summary>
        internal void Detach()
        {
            // Releasing a borrowed handle has no effect on what it names.
            if (reader != null)
            {
                reader.Dispose();
                reader = null;
            }
            if (writer != null)
            {
                writer.Dispose();
                writer = null;
            }
        }

        private void Finish()
        {
            if (writer == null || source == null)
            {
                return;
            }
            if (source.reader == null)
            {
                // Released without being finished, the file is deleted.
                throw new IOException("The stream that " + fileName + " is made like was closed first; the file is gone");
            }
            fixed (byte* path = Utf8.Bytes(fileName))
            {
                var result = NativeMethods.rsl_writer_finish(writer, path);
                if (result != Abi.RSL_WIN32_OK)
                {
                    throw Status.Win32(result, "The checkpoint cannot be completed");
                }
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static uint Open(string fileName, out ReaderHandle opened)
        {
            fixed (byte* path = Utf8.Bytes(fileName))
            {
                return NativeMethods.rsl_reader_open(path, out opened);
            }
        }

        private int ReadInto(byte* bytes, int count)
        {
            ulong got = 0;
            var result = NativeMethods.rsl_reader_read(reader, (IntPtr)bytes, (ulong)count, &got);
            if (result == Abi.RSL_WIN32_HANDLE_EOF)
            {
                return 0;
            }
            if (result != Abi.RSL_WIN32_OK)
            {
                throw Status.Win32(result, "The checkpoint cannot be read");
            }
            position += (long)got;
            return (int)got;
        }

        private void Append(byte* bytes, int count)
        {
            var result = NativeMethods.rsl_writer_write(writer, bytes, (ulong)count);
            if (result != Abi.RSL_WIN32_OK)
            {
                throw Status.Win32(result, "The checkpoint cannot be written");
            }
            position += count;
        }

        private void CheckOpen()
        {
            if (reader == null && writer == null)
            {
                throw new ObjectDisposedException("ManagedRSLCheckpointStream");
            }
        }

        private void NeedReader()
        {
            CheckOpen();
            if (reader == null)
            {
                throw new NotSupportedException("The stream is a writer");
            }
        }

        private void NeedWriter()
        {
            CheckOpen();
            if (writer == null)
            {
                throw new NotSupportedException("The stream is a reader");
            }
        }

        private static void CheckRange(byte[] buffer, int offset, int count)
        {
            if (buffer == null)
            {
                throw new ArgumentNullException("buffer");
            }
            if (offset < 0 || count < 0)
            {
                throw new ArgumentOutOfRangeException(offset < 0 ? "offset" : "count");
            }
            if (offset > buffer.Length - count)
            {
                throw new ArgumentException("The range is outside the array");
            }
        }
    }
}
