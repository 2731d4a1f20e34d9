// The life of a machine: created with Initialize, ended with UnloadThisOne, possibly more than once.
using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Threading;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    public abstract unsafe partial class ManagedRSLStateMachine
    {
        private const string NotInitialized = "Initialize must be called first";

        // Machines that run: rooted here, so that one that nobody refers to goes on, and one that has ended can be collected.
        private static readonly List<ManagedRSLStateMachine> Running = new List<ManagedRSLStateMachine>();

        private readonly object lifeGate = new object();
        private volatile MachineHandle native;
        private volatile bool initialized;
        private volatile bool disposed;

        // Threads made for the native machine that have not ended yet, counted from their creation on.
        private int threads;

        // What LoadState threw during Initialize, and the thread that runs it.
        private volatile Exception loadFailure;
        private volatile Thread initializing;

        /// <summary>A machine that does nothing yet.</summary>
        public ManagedRSLStateMachine()
        {
        }

        /// <summary>Releases a machine that does not run; one that runs is never collected.</summary>
        ~ManagedRSLStateMachine()
        {
            Dispose(false);
        }

        /// <summary>Unloads the machine if it runs, and releases it. Not inside a callback.</summary>
        public void Dispose()
        {
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        /// <summary>As <see cref="Dispose()"/>.</summary>
        protected virtual void Dispose(bool disposing)
        {
            if (!disposing || disposed)
            {
                // The native machine has a finalizer of its own.
                return;
            }
            if (Thunks.InsideCallback)
            {
                throw new InvalidOperationException("A machine cannot be disposed inside a callback");
            }
            lock (lifeGate)
            {
                disposed = true;
                if (native != null)
                {
                    UnloadNative(native);
                    native.Dispose();
                    native = null;
                }
            }
        }

        /// <summary>
        /// Starts the machine with a first member set: restores its state, listens, takes part. Blocks for the whole restore,
        /// whose callbacks run on this thread.
        /// </summary>
        /// <returns>False when it cannot start; the library's log and notifications say why.</returns>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        /// <exception cref="Exception">What LoadState threw.</exception>
        public bool Initialize(ManagedRSLConfigParam cfg, ManagedRSLNode[] nodes, ManagedRSLNode selfNode, ManagedRSLProtocolVersion version, bool serializeFastReadsWithReplicates)
        {
            if (nodes == null)
            {
                throw new ArgumentNullException(cfg == null ? "cfg" : "nodes");
            }
            using (var members = new ManagedRSLMemberSet(nodes, null, 0, 0))
            {
                return Start(cfg, members, selfNode, version, serializeFastReadsWithReplicates);
            }
        }

        /// <summary>
        /// Starts the machine; in a directory that knows no member set it waits to be bootstrapped. Version 4 or later.
        /// </summary>
        /// <returns>False when it cannot start; the library's log and notifications say why.</returns>
        /// <exception cref="ArgumentNullException">An argument is null.</exception>
        /// <exception cref="Exception">What LoadState threw.</exception>
        public bool Initialize(ManagedRSLConfigParam cfg, ManagedRSLNode selfNode, ManagedRSLProtocolVersion version, bool serializeFastReadsWithReplicates)
        {
            return Start(cfg, null, selfNode, version, serializeFastReadsWithReplicates);
        }

        /// <summary>
        /// Executes the history in a directory up to decree <paramref name="maxSeqNo"/>, as far as its logs prove it: without
        /// ports, threads or writing. Callbacks run on this thread; GetCurrentSequenceNumber says where it ended.
        /// </summary>
        /// <returns>False when the files do not allow it, or the machine runs.</returns>
        /// <exception cref="ArgumentException">The directory is null or empty.</exception>
        /// <exception cref="Exception">What LoadState threw.</exception>
        public bool Replay(string directory, ulong maxSeqNo)
        {
            if (string.IsNullOrEmpty(directory))
            {
                throw new ArgumentException("A directory is needed", "directory");
            }
            CheckMayStart();
            lock (lifeGate)
            {
                if (native == null)
                {
                    native = Create();
                }
                var machine = native;
                return Run(machine, () =>
                {
                    fixed (byte* path = Utf8.Bytes(directory))
                    {
                        return NativeMethods.rsl_machine_replay(machine, path, maxSeqNo);
                    }
                });
            }
        }

        /// <summary>
        /// Ends the machine: chosen decrees finish, what waits is aborted, ShutDown is called, threads end and ports close.
        /// Waits for all that, except inside a callback, where it only begins. Initialize may follow.
        /// </summary>
        /// <exception cref="ApplicationException">It was never initialised, or is unloaded already.</exception>
        public void UnloadThisOne()
        {
            var machine = Native();
            if (Thunks.InsideCallback)
            {
                NativeMethods.rsl_machine_unload(machine);
                return;
            }
            lock (lifeGate)
            {
                UnloadNative(machine);
            }
        }

        internal static ManagedRSLStateMachine[] RunningMachines()
        {
            lock (Running)
            {
                return Running.ToArray();
            }
        }

        /// <summary>The native machine, if it was initialised and not unloaded.</summary>
        internal MachineHandle Native()
        {
            var machine = native;
            if (!initialized || machine == null)
            {
                throw new ApplicationException(NotInitialized);
            }
            return machine;
        }

        /// <summary>The machine has ended: ShutDown was its last callback.</summary>
        internal void Ended()
        {
            lock (Running)
            {
                Running.Remove(this);
            }
        }

        private bool Start(ManagedRSLConfigParam cfg, ManagedRSLMemberSet members, ManagedRSLNode selfNode, ManagedRSLProtocolVersion version, bool serialize)
        {
            if (cfg == null || selfNode == null)
            {
                throw new ArgumentNullException(cfg == null ? "cfg" : "selfNode");
            }
            CheckMayStart();
            lock (lifeGate)
            {
                if (native == null)
                {
                    native = Create();
                }
                if (NativeMethods.rsl_machine_is_running(native) != 0)
                {
                    return false;
                }
                return StartNative(native, cfg, members, selfNode, version, serialize);
            }
        }

        private bool StartNative(MachineHandle machine, ManagedRSLConfigParam cfg, ManagedRSLMemberSet members, ManagedRSLNode selfNode, ManagedRSLProtocolVersion version, bool serialize)
        {
            byte[] directory;
            var config = cfg.Copy(out directory);
            config.flags |= ManagedRSLExtensions.ConfigFlags;
            Thunks.InstallExitPolicy();
            // An array, because a lambda cannot take the address of a variable that it shares.
            var self = new rsl_node[1];
            fixed (rsl_node* node = self)
            {
                selfNode.Fill(node);
            }
            return Run(machine, () =>
            {
                fixed (byte* path = directory)
                fixed (rsl_node* node = self)
                {
                    var settings = config;
                    settings.working_dir = (IntPtr)path;
                    var spawn = Thunks.Spawn(machine);
                    rsl_config* c = &settings;
                    rsl_node* n = node;
                    rsl_spawn* t = &spawn;
                    ManagedRSLMemberSet.WithView start = view =>
                        NativeMethods.rsl_machine_initialize(machine, c, view, n, (int)version, serialize ? 1 : 0, t, 1);
                    return members == null ? start(null) : members.Lend(start);
                }
            });
        }

        private void CheckMayStart()
        {
            NativeLibrary.Load();
            if (disposed)
            {
                throw new ObjectDisposedException(GetType().Name);
            }
            if (Thunks.InsideCallback)
            {
                throw new InvalidOperationException("A machine cannot be initialised inside a callback");
            }
        }

        /// <summary>Runs what restores the state on this thread; what LoadState throws goes to the caller.</summary>
        private bool Run(MachineHandle machine, Func<int> restore)
        {
            loadFailure = null;
            initializing = Thread.CurrentThread;
            initialized = true;
            lock (Running)
            {
                Running.Add(this);
            }
            var status = Abi.RSL_E_STATE;
            try
            {
                status = restore();
            }
            finally
            {
                initializing = null;
                if (status != Abi.RSL_OK)
                {
                    initialized = false;
                    Ended();
                }
            }
            var failure = loadFailure;
            if (failure != null)
            {
                // A first start goes on without a state [HARD-573]; nothing but the exception may come of it here.
                UnloadNative(machine);
                loadFailure = null;
                throw failure;
            }
            return status == Abi.RSL_OK;
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private MachineHandle Create()
        {
            // Weak: the list of running machines is what keeps one alive.
            var context = GCHandle.Alloc(this, GCHandleType.WeakTrackResurrection);
            var callbacks = Thunks.Table();
            MachineHandle machine;
            var status = NativeMethods.rsl_machine_create(&callbacks, GCHandle.ToIntPtr(context), out machine);
            machine.Own(context);
            Status.Check(status);
            return machine;
        }

        private void UnloadNative(MachineHandle machine)
        {
            Status.Check(NativeMethods.rsl_machine_unload(machine));
            initialized = false;
            Ended();
            // Native code waits for its part of the threads; this is for the managed rest of them.
            while (Thread.VolatileRead(ref threads) != 0)
            {
                Thread.Sleep(1);
            }
        }

        /// <summary>Runs a native thread body on a managed thread of this AppDomain.</summary>
        internal bool Spawn(IntPtr start, int priority, IntPtr argument)
        {
            var body = (rsl_thread_main)Marshal.GetDelegateForFunctionPointer(start, typeof(rsl_thread_main));
            var thread = new Thread(() =>
            {
                try
                {
                    body(argument);
                }
                finally
                {
                    Interlocked.Decrement(ref threads);
                }
            })
            {
                IsBackground = true,
                Priority = PriorityOf(priority)
            };
            Interlocked.Increment(ref threads);
            try
            {
                thread.Start();
                return true;
            }
            catch (Exception)
            {
                Interlocked.Decrement(ref threads);
                return false;
            }
        }

        /// <summary>Whether a failure of LoadState belongs to the caller of Initialize, who then gets it.</summary>
        internal bool KeepLoadFailure(Exception exception)
        {
            if (initializing != Thread.CurrentThread)
            {
                return false;
            }
            loadFailure = exception;
            return true;
        }

        /// <summary>LoadState has thrown: no callback is delivered any more.</summary>
        internal bool IsMuted
        {
            get { return loadFailure != null; }
        }

        private static ThreadPriority PriorityOf(int priority)
        {
            switch (priority)
            {
                case 1:
                    return ThreadPriority.BelowNormal;
                case 2:
                    return ThreadPriority.AboveNormal;
                case 3:
                    return ThreadPriority.Highest;
                case 4:
                    return ThreadPriority.Lowest;
                default:
                    return ThreadPriority.Normal;
            }
        }
    }
}
