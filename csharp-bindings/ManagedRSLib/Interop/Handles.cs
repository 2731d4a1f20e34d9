// Native handles. Each is released exactly once, at the latest by its finalizer; borrowed ones never.
using System;
using System.Runtime.InteropServices;

namespace ManagedRSLib.Interop
{
    internal abstract class NativeHandle : SafeHandle
    {
        protected NativeHandle()
            : base(IntPtr.Zero, true)
        {
        }

        protected NativeHandle(IntPtr borrowed)
            : base(IntPtr.Zero, false)
        {
            SetHandle(borrowed);
        }

        public override bool IsInvalid
        {
            get { return handle == IntPtr.Zero; }
        }

        /// <summary>
        /// Whether the process, or this AppDomain, goes away: native memory goes with the process, and callbacks could not
        /// run any more.
        /// </summary>
        protected static bool IsGoingDown
        {
            get { return Environment.HasShutdownStarted || AppDomain.CurrentDomain.IsFinalizingForUnload(); }
        }
    }

    /// <summary>A machine, and the handle by which its callbacks find the managed object.</summary>
    internal sealed class MachineHandle : NativeHandle
    {
        private GCHandle context;

        /// <summary>Hands over the context that was given to the native machine; freed after it.</summary>
        internal void Own(GCHandle given)
        {
            context = given;
        }

        /// <summary>What the native machine gives back to its callbacks.</summary>
        internal IntPtr Context
        {
            get { return GCHandle.ToIntPtr(context); }
        }

        protected override bool ReleaseHandle()
        {
            if (!IsGoingDown)
            {
                NativeMethods.rsl_machine_destroy(handle);
                if (context.IsAllocated)
                {
                    context.Free();
                }
            }
            return true;
        }
    }

    /// <summary>A checkpoint that is read.</summary>
    internal sealed class ReaderHandle : NativeHandle
    {
        public ReaderHandle()
        {
        }

        internal ReaderHandle(IntPtr borrowed)
            : base(borrowed)
        {
        }

        protected override bool ReleaseHandle()
        {
            NativeMethods.rsl_reader_close(handle);
            return true;
        }
    }

    /// <summary>A checkpoint that is written.</summary>
    internal sealed class WriterHandle : NativeHandle
    {
        public WriterHandle()
        {
        }

        internal WriterHandle(IntPtr borrowed)
            : base(borrowed)
        {
        }

        protected override bool ReleaseHandle()
        {
            NativeMethods.rsl_writer_free(handle);
            return true;
        }
    }

    /// <summary>A member set that the library handed out.</summary>
    internal sealed class MemberSetHandle : NativeHandle
    {
        protected override bool ReleaseHandle()
        {
            NativeMethods.rsl_member_set_free(handle);
            return true;
        }
    }
}
