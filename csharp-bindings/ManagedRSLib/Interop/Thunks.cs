// What native code calls: one static delegate per callback, rooted for the life of the AppDomain. No exception leaves here.
using System;
using System.Runtime.InteropServices;

namespace ManagedRSLib.Interop
{
    internal static unsafe class Thunks
    {
        // The delegates behind the pointers that native code holds.
        private static readonly rsl_callbacks_load_state LoadStateThunk = LoadState;
        private static readonly rsl_callbacks_execute_replicated ExecuteThunk = Execute;
        private static readonly rsl_callbacks_execute_fast_read ReadThunk = Read;
        private static readonly rsl_callbacks_abort_request AbortThunk = Abort;
        private static readonly rsl_callbacks_try_save_state SaveThunk = Save;
        private static readonly rsl_callbacks_state_saved SavedThunk = Saved;
        private static readonly rsl_callbacks_state_copied CopiedThunk = Copied;
        private static readonly rsl_callbacks_notify_status StatusThunk = StatusChanged;
        private static readonly rsl_callbacks_notify_primary_recovered RecoveredThunk = Recovered;
        private static readonly rsl_callbacks_notify_configuration_changed ChangedThunk = Changed;
        private static readonly rsl_callbacks_abort_change_configuration AbortChangeThunk = AbortChange;
        private static readonly rsl_callbacks_can_become_primary CanBecomeThunk = CanBecome;
        private static readonly rsl_callbacks_accept_message AcceptThunk = Accept;
        private static readonly rsl_callbacks_shut_down ShutDownThunk = ShutDown;
        private static readonly rsl_spawn_spawn SpawnThunk = SpawnThread;
        private static readonly rsl_notify_fn NotifyThunk = Notify;
        private static readonly rsl_exit_policy_on_exit ExitThunk = Exit;

        [ThreadStatic]
        private static int depth;

        // What a callback threw, on its way through the library's fatal path.
        [ThreadStatic]
        private static Exception fatal;

        /// <summary>Whether this thread runs a callback.</summary>
        internal static bool InsideCallback
        {
            get { return depth > 0; }
        }

        internal static IntPtr NotifyPointer
        {
            get { return Pointer(NotifyThunk); }
        }

        internal static rsl_callbacks Table()
        {
            return new rsl_callbacks
            {
                struct_size = (uint)sizeof(rsl_callbacks),
                flags = Abi.RSL_CB_DEFAULT_RESOLVE,
                load_state = Pointer(LoadStateThunk),
                execute_replicated = Pointer(ExecuteThunk),
                execute_fast_read = Pointer(ReadThunk),
                abort_request = Pointer(AbortThunk),
                try_save_state = Pointer(SaveThunk),
                state_saved = Pointer(SavedThunk),
                state_copied = Pointer(CopiedThunk),
                notify_status = Pointer(StatusThunk),
                notify_primary_recovered = Pointer(RecoveredThunk),
                notify_configuration_changed = Pointer(ChangedThunk),
                abort_change_configuration = Pointer(AbortChangeThunk),
                can_become_primary = Pointer(CanBecomeThunk),
                accept_message = Pointer(AcceptThunk),
                shut_down = Pointer(ShutDownThunk)
            };
        }

        internal static rsl_spawn Spawn(MachineHandle machine)
        {
            return new rsl_spawn
            {
                struct_size = (uint)sizeof(rsl_spawn),
                ctx = machine.Context,
                spawn = Pointer(SpawnThunk)
            };
        }

        /// <summary>Asks to be asked before the library ends the process.</summary>
        internal static void InstallExitPolicy()
        {
            var policy = new rsl_exit_policy
            {
                struct_size = (uint)sizeof(rsl_exit_policy),
                on_exit = Pointer(ExitThunk)
            };
            Interop.Status.Check(NativeMethods.rsl_set_exit_policy(&policy));
        }

        /// <summary>
        /// Reports an exception that left a callback - log entry at level Assert, notification - and ends the process.
        /// </summary>
        internal static void Fatal(string callback, Exception exception)
        {
            var text = "Exception in " + callback + ": " + exception;
            fatal = exception;
            fixed (byte* what = Utf8.Bytes(text.Replace('\0', ' ')))
            {
                NativeMethods.rsl_fatal(what);
            }
            // Not reached: the exit policy below ends the process.
            Environment.FailFast(text, exception);
        }

        private static IntPtr Pointer(Delegate thunk)
        {
            return Marshal.GetFunctionPointerForDelegate(thunk);
        }

        /// <summary>The machine; null when its LoadState has thrown: nothing is delivered to it any more.</summary>
        private static ManagedRSLStateMachine Listening(IntPtr context)
        {
            var machine = (ManagedRSLStateMachine)GCHandle.FromIntPtr(context).Target;
            return machine == null || machine.IsMuted ? null : machine;
        }

        /// <summary>Runs a callback's body.</summary>
        private static T Run<T>(IntPtr context, string callback, T otherwise, Func<ManagedRSLStateMachine, T> body)
        {
            depth++;
            try
            {
                var machine = Listening(context);
                return machine == null ? otherwise : body(machine);
            }
            catch (Exception exception)
            {
                Fatal(callback, exception);
                return otherwise;
            }
            finally
            {
                depth--;
            }
        }

        private static int LoadState(IntPtr context, IntPtr reader)
        {
            return Run(context, "LoadState", 0, machine =>
            {
                var stream = reader == IntPtr.Zero ? null : new ManagedRSLCheckpointStream(new ReaderHandle(reader));
                try
                {
                    return machine.LoadState(stream) ? 1 : 0;
                }
                catch (Exception exception)
                {
                    if (!machine.KeepLoadFailure(exception))
                    {
                        throw;
                    }
                    return 0;
                }
                finally
                {
                    if (stream != null)
                    {
                        stream.Detach();
                    }
                }
            });
        }

        // Without a lambda, whose closure would be garbage after every request; so below.
        private static void Execute(IntPtr context, void* request, UIntPtr length, IntPtr cookie, int* saveState)
        {
            var save = false;
            depth++;
            try
            {
                var machine = Listening(context);
                if (machine != null)
                {
                    using (var given = new Cookie(cookie))
                    {
                        machine.ExecuteReplicatedRequest(Copy(request, (ulong)length), given.Value, ref save);
                    }
                }
            }
            catch (Exception exception)
            {
                Fatal("ExecuteReplicatedRequest", exception);
            }
            finally
            {
                depth--;
            }
            *saveState = save ? 1 : 0;
        }

        private static void Read(IntPtr context, void* request, UIntPtr length, IntPtr cookie)
        {
            depth++;
            try
            {
                var machine = Listening(context);
                if (machine != null)
                {
                    using (var given = new Cookie(cookie))
                    {
                        machine.ExecuteFastReadRequest(Copy(request, (ulong)length), given.Value);
                    }
                }
            }
            catch (Exception exception)
            {
                Fatal("ExecuteFastReadRequest", exception);
            }
            finally
            {
                depth--;
            }
        }

        private static void Abort(IntPtr context, int why, IntPtr cookie)
        {
            Run(context, "AbortRequest", 0, machine =>
            {
                using (var given = new Cookie(cookie))
                {
                    machine.AbortRequest((RSLResponse)why, given.Value);
                }
                return 0;
            });
        }

        private static int Save(IntPtr context, IntPtr writer)
        {
            return Run(context, "TrySaveState", 0, machine =>
            {
                var stream = new ManagedRSLCheckpointStream(new WriterHandle(writer));
                try
                {
                    return machine.TrySaveState(stream) ? 1 : 0;
                }
                finally
                {
                    stream.Detach();
                }
            });
        }

        private static void Saved(IntPtr context, ulong seq, byte* file)
        {
            var name = Utf8.Get(file);
            Run(context, "StateSaved", 0, machine =>
            {
                machine.StateSaved(seq, name);
                return 0;
            });
        }

        private static void Copied(IntPtr context, ulong seq, byte* file, IntPtr cookie)
        {
            var name = Utf8.Get(file) ?? "";
            Run(context, "StateCopied", 0, machine =>
            {
                using (var given = new Cookie(cookie))
                {
                    machine.StateCopied(seq, name, given.Value);
                }
                return 0;
            });
        }

        private static void StatusChanged(IntPtr context, int isPrimary)
        {
            Run(context, "NotifyStatus", 0, machine =>
            {
                machine.NotifyStatus(isPrimary != 0);
                return 0;
            });
        }

        private static void Recovered(IntPtr context)
        {
            Run(context, "NotifyPrimaryRecovered", 0, machine =>
            {
                machine.NotifyPrimaryRecovered();
                return 0;
            });
        }

        private static void Changed(IntPtr context, IntPtr cookie)
        {
            Run(context, "NotifyConfigurationChanged", 0, machine =>
            {
                using (var given = new Cookie(cookie))
                {
                    machine.NotifyConfigurationChanged(given.Value);
                }
                return 0;
            });
        }

        private static void AbortChange(IntPtr context, int why, IntPtr cookie)
        {
            Run(context, "AbortChangeConfiguration", 0, machine =>
            {
                using (var given = new Cookie(cookie))
                {
                    machine.AbortChangeConfiguration((RSLResponse)why, given.Value);
                }
                return 0;
            });
        }

        private static int CanBecome(IntPtr context, IntPtr sink)
        {
            return Run(context, "CanBecomePrimary", 0, machine =>
            {
                byte[] data = null;
                if (!machine.CanBecomePrimary(ref data))
                {
                    return 0;
                }
                if (data != null && data.Length > 0)
                {
                    fixed (byte* bytes = data)
                    {
                        Interop.Status.Check(NativeMethods.rsl_cookie_sink_set(sink, bytes, (uint)data.Length));
                    }
                }
                return 1;
            });
        }

        private static int Accept(IntPtr context, rsl_node* from, void* data, uint length)
        {
            var bytes = data == null ? null : Copy(data, length);
            var node = new ManagedRSLNode();
            node.Take(from);
            return Run(context, "AcceptMessageFromReplica", 0, machine => machine.AcceptMessageFromReplica(node, bytes) ? 1 : 0);
        }

        private static void ShutDown(IntPtr context, int why)
        {
            Run(context, "ShutDown", 0, machine =>
            {
                machine.ShutDown((RSLResponse)why);
                machine.Ended();
                return 0;
            });
        }

        private static int SpawnThread(IntPtr context, IntPtr start, int priority, IntPtr argument)
        {
            try
            {
                var machine = (ManagedRSLStateMachine)GCHandle.FromIntPtr(context).Target;
                return machine != null && machine.Spawn(start, priority, argument) ? 0 : 1;
            }
            catch (Exception exception)
            {
                Fatal("the creation of a thread", exception);
                return 1;
            }
        }

        private static void Notify(IntPtr context, int level, int logId, byte* title, byte* message)
        {
            var callback = ManagedRSLStateMachine.NotificationsCallback;
            if (callback == null)
            {
                return;
            }
            try
            {
                callback((NotificationLevel)level, (NotificationLogID)logId, Utf8.Get(title), Utf8.Get(message));
            }
            catch (Exception exception)
            {
                // The fatal path notifies: it must not come back here.
                ManagedRSLStateMachine.NotificationsCallback = null;
                if (fatal == null)
                {
                    Fatal("NotificationsCallback", exception);
                }
            }
        }

        private static int Exit(IntPtr context, IntPtr machine, int reason, int code)
        {
            if (reason == Abi.RSL_EXIT_REASON_FATAL)
            {
                if (fatal != null)
                {
                    Environment.FailFast("Exception in a callback of RSL: " + fatal, fatal);
                }
                return 0;
            }
            try
            {
                return ManagedRSLExtensions.MayEndProcess(code) ? 0 : 1;
            }
            catch (Exception exception)
            {
                Fatal("EndingProcess", exception);
                return 0;
            }
        }

        /// <summary>A fresh array, which the application may keep.</summary>
        private static byte[] Copy(void* data, ulong length)
        {
            var bytes = new byte[length];
            Marshal.Copy((IntPtr)data, bytes, 0, bytes.Length);
            return bytes;
        }
    }
}
