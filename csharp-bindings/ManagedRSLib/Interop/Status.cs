// Results of native calls as results and exceptions of the managed API.
using System;
using System.IO;
using System.Text;

namespace ManagedRSLib.Interop
{
    internal static unsafe class Status
    {
        /// <summary>The text for the last negative result on this thread.</summary>
        internal static string LastError()
        {
            var buffer = new byte[1024];
            fixed (byte* bytes = buffer)
            {
                var length = (int)NativeMethods.rsl_last_error(bytes, (UIntPtr)(uint)buffer.Length);
                return Encoding.UTF8.GetString(buffer, 0, Math.Min(length, buffer.Length - 1));
            }
        }

        /// <summary>Throws for a result that none of our own arguments can cause.</summary>
        internal static void Check(int status)
        {
            if (status < 0)
            {
                throw new InvalidOperationException(LastError());
            }
        }

        /// <summary>The response for a result; a machine that has ended by itself is shutting down.</summary>
        internal static RSLResponse Response(int status)
        {
            if (status >= 0)
            {
                return (RSLResponse)status;
            }
            return status == Abi.RSL_E_STATE ? RSLResponse.RSLShuttingDown : RSLResponse.RSLInvalidParameter;
        }

        /// <summary>The exception for a Win32 number.</summary>
        internal static IOException Win32(uint code, string what)
        {
            return new IOException(
                string.Format("{0} (Win32 error {1}): {2}", what, code, LastError()),
                unchecked((int)(0x80070000u + code)));
        }
    }
}
