// The process-wide part of the state machine: starting and ending the library, TLS, notifications.
using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using System.Threading;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>
    /// A replicated state machine: the application derives from it and implements the callbacks. Callbacks run on managed
    /// threads, or on the thread that calls Initialize; an exception that leaves one ends the process, except from LoadState.
    /// Unless said otherwise, members may be called from any thread.
    /// </summary>
    public abstract unsafe partial class ManagedRSLStateMachine : IDisposable, IManagedRSLCheckpointCreator
    {
        /// <summary>Gets what operators must see, on the thread concerned. Must not call the library.</summary>
        public delegate void NotificationsCallbackDelegate(NotificationLevel level, NotificationLogID logID, string title, string message);

        private static readonly object ProcessGate = new object();
        private static Mutex claim;
        private static volatile NotificationsCallbackDelegate notifications;

        /// <summary>Who gets notifications; null = nobody. May be set at any time.</summary>
        public static NotificationsCallbackDelegate NotificationsCallback
        {
            get { return notifications; }
            set { notifications = value; }
        }

        /// <summary>Starts the library without TLS, with dumps, listening on all addresses.</summary>
        /// <param name="logPath">Where log files go; null or empty = none.</param>
        /// <exception cref="InvalidOperationException">It was started before, here or in another AppDomain.</exception>
        public static void Init(string logPath)
        {
            Init(logPath, true);
        }

        /// <summary>As <see cref="Init(string)"/>.</summary>
        public static void Init(string logPath, bool minidumpEnabled)
        {
            Start(logPath, null, null, null, null, null, null, false, true, true, true, minidumpEnabled);
        }

        /// <summary>
        /// Starts the library with TLS by thumbprints, with dumps. It listens on all addresses whatever is asked for, as
        /// legacy does, unless <see cref="ManagedRSLExtensions.HonorListenOnAllIPs"/> is set.
        /// </summary>
        public static void Init(string logPath, string thumbPrintA, string thumbPrintB, bool listenOnAllIPs, bool validateCAChain, bool checkCertificateRevocation)
        {
            Init(logPath, thumbPrintA, thumbPrintB, listenOnAllIPs, validateCAChain, checkCertificateRevocation, true);
        }

        /// <summary>As the form without <paramref name="minidumpEnabled"/>.</summary>
        public static void Init(string logPath, string thumbPrintA, string thumbPrintB, bool listenOnAllIPs, bool validateCAChain, bool checkCertificateRevocation, bool minidumpEnabled)
        {
            var listen = listenOnAllIPs || !ManagedRSLExtensions.HonorListenOnAllIPs;
            Start(logPath, thumbPrintA, thumbPrintB, null, null, null, null, false, listen, validateCAChain, checkCertificateRevocation, minidumpEnabled);
            if (listen && !listenOnAllIPs)
            {
                Notify(NotificationLevel.Warning, "Listening on all addresses, although listenOnAllIPs is false: this form of Init has always done so. ManagedRSLExtensions.HonorListenOnAllIPs makes it count.");
            }
        }

        /// <summary>Starts the library with TLS by thumbprints and subject names, with dumps.</summary>
        public static void Init(string logPath, string thumbPrintA, string thumbPrintB, string subjectA, string thumbPrintsParentA, string subjectB, string thumbPrintsParentB, bool considerIdentitiesWhitelist, bool listenOnAllIPs, bool validateCAChain, bool checkCertificateRevocation)
        {
            Init(logPath, thumbPrintA, thumbPrintB, subjectA, thumbPrintsParentA, subjectB, thumbPrintsParentB, considerIdentitiesWhitelist, listenOnAllIPs, validateCAChain, checkCertificateRevocation, true);
        }

        /// <summary>Starts the library with TLS by thumbprints and subject names; absent ones are null.</summary>
        /// <exception cref="InvalidOperationException">It was started before, or TLS cannot be had: then no machine starts, so
        /// that who asked for TLS never gets plaintext.</exception>
        public static void Init(string logPath, string thumbPrintA, string thumbPrintB, string subjectA, string thumbPrintsParentA, string subjectB, string thumbPrintsParentB, bool considerIdentitiesWhitelist, bool listenOnAllIPs, bool validateCAChain, bool checkCertificateRevocation, bool minidumpEnabled)
        {
            Start(logPath, thumbPrintA, thumbPrintB, subjectA, thumbPrintsParentA, subjectB, thumbPrintsParentB, considerIdentitiesWhitelist, listenOnAllIPs, validateCAChain, checkCertificateRevocation, minidumpEnabled);
        }

        /// <summary>Replaces the thumbprints; null, null clears them.</summary>
        /// <exception cref="InvalidOperationException">They cannot be used; earlier valid settings stay.</exception>
        public static void ReplaceThumbprints(string thumbPrintA, string thumbPrintB, bool validateCAChain, bool checkCertificateRevocation)
        {
            NativeLibrary.Load();
            SetThumbprints(thumbPrintA, thumbPrintB, validateCAChain, checkCertificateRevocation);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void SetThumbprints(string thumbPrintA, string thumbPrintB, bool validateCAChain, bool checkCertificateRevocation)
        {
            fixed (byte* a = Utf8.Bytes(NullIfEmpty(thumbPrintA)), b = Utf8.Bytes(NullIfEmpty(thumbPrintB)))
            {
                var result = NativeMethods.rsl_tls_set_thumbprints(a, b, validateCAChain ? 1 : 0, checkCertificateRevocation ? 1 : 0);
                if (result != Abi.RSL_OK)
                {
                    throw new InvalidOperationException("Couldn't set up thumbprints", new InvalidOperationException(Status.LastError()));
                }
            }
        }

        /// <summary>Replaces the subject names and the switch; null, null clears them.</summary>
        /// <exception cref="InvalidOperationException">They cannot be used; earlier valid settings stay.</exception>
        public static void ReplaceSubjects(string subjectA, string thumbPrintsParentA, string subjectB, string thumbPrintsParentB, bool considerIdentitiesWhitelist)
        {
            NativeLibrary.Load();
            SetSubjects(subjectA, thumbPrintsParentA, subjectB, thumbPrintsParentB, considerIdentitiesWhitelist);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void SetSubjects(string subjectA, string thumbPrintsParentA, string subjectB, string thumbPrintsParentB, bool considerIdentitiesWhitelist)
        {
            fixed (byte* a = Utf8.Bytes(subjectA), parentsA = Utf8.Bytes(thumbPrintsParentA), b = Utf8.Bytes(subjectB), parentsB = Utf8.Bytes(thumbPrintsParentB))
            {
                var result = NativeMethods.rsl_tls_set_subjects(a, parentsA, b, parentsB, considerIdentitiesWhitelist ? 1 : 0);
                if (result != Abi.RSL_OK)
                {
                    throw new InvalidOperationException("Couldn't set up subjects", new InvalidOperationException(Status.LastError()));
                }
            }
        }

        /// <summary>Replaces the thumbprints, then the subject names.</summary>
        /// <exception cref="InvalidOperationException">They cannot be used; earlier valid settings stay.</exception>
        public static void ReplaceThumbprintsAndSubjects(string thumbPrintA, string thumbPrintB, string subjectA, string thumbPrintsParentA, string subjectB, string thumbPrintsParentB, bool considerIdentitiesWhitelist, bool validateCAChain, bool checkCertificateRevocation)
        {
            ReplaceThumbprints(thumbPrintA, thumbPrintB, validateCAChain, checkCertificateRevocation);
            ReplaceSubjects(subjectA, thumbPrintsParentA, subjectB, thumbPrintsParentB, considerIdentitiesWhitelist);
        }

        /// <summary>
        /// Unloads every machine of the process and stops the library; Init may follow, also in another AppDomain. Waits until
        /// no thread of a machine runs managed code any more. Not inside a callback.
        /// </summary>
        public static void Unload()
        {
            NativeLibrary.Load();
            UnloadAll();
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void UnloadAll()
        {
            foreach (var machine in RunningMachines())
            {
                machine.UnloadThisOne();
            }
            NativeMethods.rsl_unload_all();
            // What the policy calls may go with this AppDomain.
            Status.Check(NativeMethods.rsl_set_exit_policy(null));
            NativeMethods.rsl_shutdown();
            lock (ProcessGate)
            {
                ReleaseClaim();
            }
        }

        private static void Start(string logPath, string thumbPrintA, string thumbPrintB, string subjectA, string parentsA, string subjectB, string parentsB, bool whitelist, bool listenOnAllIPs, bool validate, bool revocation, bool minidump)
        {
            NativeLibrary.Load();
            StartLoaded(logPath, thumbPrintA, thumbPrintB, subjectA, parentsA, subjectB, parentsB, whitelist, listenOnAllIPs, validate, revocation, minidump);
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void StartLoaded(string logPath, string thumbPrintA, string thumbPrintB, string subjectA, string parentsA, string subjectB, string parentsB, bool whitelist, bool listenOnAllIPs, bool validate, bool revocation, bool minidump)
        {
            lock (ProcessGate)
            {
                // Before TLS is touched, so that a refused call changes nothing.
                TakeClaim();
                try
                {
                    ReplaceThumbprintsAndSubjects(thumbPrintA, thumbPrintB, subjectA, parentsA, subjectB, parentsB, whitelist, validate, revocation);
                    if (listenOnAllIPs)
                    {
                        NativeMethods.rsl_enable_listen_on_all_ips();
                    }
                    NativeMethods.rsl_set_minidump_enabled(minidump ? 1 : 0);
                    Thunks.InstallExitPolicy();
                    fixed (byte* path = Utf8.Bytes(NullIfEmpty(logPath)))
                    {
                        var parameters = new rsl_init_params
                        {
                            struct_size = (uint)sizeof(rsl_init_params),
                            log_path = (IntPtr)path,
                            notify = Thunks.NotifyPointer
                        };
                        if (NativeMethods.rsl_init(&parameters) != Abi.RSL_OK)
                        {
                            throw new Exception("Failed to initialize RSLib", new InvalidOperationException(Status.LastError()));
                        }
                    }
                }
                catch
                {
                    ReleaseClaim();
                    throw;
                }
            }
        }

        private static void TakeClaim()
        {
            // Named after the process: every AppDomain sees the same one.
            bool first;
            var mine = new Mutex(false, "ManagedRSLib-" + System.Diagnostics.Process.GetCurrentProcess().Id, out first);
            if (!first || claim != null)
            {
                mine.Close();
                throw new InvalidOperationException("Another AppDomain has initialized RSL already");
            }
            claim = mine;
        }

        private static void ReleaseClaim()
        {
            if (claim != null)
            {
                claim.Close();
                claim = null;
            }
        }

        private static void Notify(NotificationLevel level, string title)
        {
            var callback = notifications;
            if (callback != null)
            {
                callback(level, NotificationLogID.RSLLib, title, null);
            }
        }

        private static string NullIfEmpty(string text)
        {
            return string.IsNullOrEmpty(text) ? null : text;
        }
    }
}
