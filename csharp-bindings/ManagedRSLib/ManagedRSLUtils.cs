// Helpers of the managed API that need no machine.
using System;
using System.Runtime.CompilerServices;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>Helpers.</summary>
    public unsafe class ManagedRSLUtils
    {
        /// <summary>The 64-bit checksum of messages, log records and checkpoints.</summary>
        /// <exception cref="ArgumentNullException">The array is null.</exception>
        public static ulong CalculateChecksum(byte[] blob)
        {
            if (blob == null)
            {
                throw new ArgumentNullException("blob");
            }
            NativeLibrary.Load();
            return Checksum(blob);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static ulong Checksum(byte[] blob)
        {
            byte none;
            fixed (byte* bytes = blob)
            {
                return NativeMethods.rsl_checksum(blob.Length == 0 ? &none : bytes, (UIntPtr)(uint)blob.Length);
            }
        }
    }
}
