// A cookie on its way through native code: an object, rooted from an accepted call until its callback has returned.
using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;

namespace ManagedRSLib.Interop
{
    /// <summary>The cookie that a callback got: rooted until this is disposed.</summary>
    internal struct Cookie : IDisposable
    {
        // The handles that native code has. Looking a wrong one up would read whatever memory is there.
        private static readonly HashSet<IntPtr> UnderWay = new HashSet<IntPtr>();

        private readonly IntPtr native;

        /// <summary>Takes a cookie back.</summary>
        /// <exception cref="InvalidOperationException">It is none, or it came back before.</exception>
        internal Cookie(IntPtr native)
        {
            this.native = native;
            Value = null;
            if (native != IntPtr.Zero)
            {
                Forget(native);
                Value = GCHandle.FromIntPtr(native).Target;
            }
        }

        /// <summary>The object; null where none was given.</summary>
        internal object Value { get; private set; }

        /// <summary>Roots an object for native code; null needs none.</summary>
        internal static IntPtr Give(object cookie)
        {
            if (cookie == null)
            {
                return IntPtr.Zero;
            }
            var native = GCHandle.ToIntPtr(GCHandle.Alloc(cookie));
            lock (UnderWay)
            {
                UnderWay.Add(native);
            }
            return native;
        }

        /// <summary>Takes an object back that was not accepted.</summary>
        internal static void Drop(IntPtr native)
        {
            if (native != IntPtr.Zero)
            {
                Forget(native);
                GCHandle.FromIntPtr(native).Free();
            }
        }

        public void Dispose()
        {
            if (native != IntPtr.Zero)
            {
                GCHandle.FromIntPtr(native).Free();
            }
        }

        private static void Forget(IntPtr native)
        {
            lock (UnderWay)
            {
                if (!UnderWay.Remove(native))
                {
                    throw new InvalidOperationException("A cookie came back that is not under way");
                }
            }
        }
    }
}
