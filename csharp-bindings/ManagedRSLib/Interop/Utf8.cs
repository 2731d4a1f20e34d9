// Strings on their way across the boundary: UTF-8, NUL-terminated.
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace ManagedRSLib.Interop
{
    internal static unsafe class Utf8
    {
        /// <summary>Bytes of a string without its NUL.</summary>
        internal static int Length(string text)
        {
            return Encoding.UTF8.GetByteCount(text);
        }

        /// <summary>A string as NUL-terminated bytes, to be pinned for a call; null stays null.</summary>
        internal static byte[] Bytes(string text)
        {
            if (text == null)
            {
                return null;
            }
            var bytes = new byte[Length(text) + 1];
            Encoding.UTF8.GetBytes(text, 0, text.Length, bytes, 0);
            return bytes;
        }

        /// <summary>Writes a string and its NUL into a field of <paramref name="size"/> bytes; it was checked to fit.</summary>
        internal static void Put(string text, byte* field, int size)
        {
            var bytes = Encoding.UTF8.GetBytes(text);
            for (var index = 0; index < size; index++)
            {
                field[index] = index < bytes.Length && index < size - 1 ? bytes[index] : (byte)0;
            }
        }

        /// <summary>The string in a field of <paramref name="size"/> bytes.</summary>
        internal static string Get(byte* field, int size)
        {
            var length = 0;
            while (length < size && field[length] != 0)
            {
                length++;
            }
            return Get((IntPtr)field, length);
        }

        /// <summary>A NUL-terminated string; null for NULL.</summary>
        internal static string Get(byte* text)
        {
            if (text == null)
            {
                return null;
            }
            var length = 0;
            while (text[length] != 0)
            {
                length++;
            }
            return Get((IntPtr)text, length);
        }

        private static string Get(IntPtr text, int length)
        {
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes);
        }
    }
}
