// Finds librsl and refuses one that is not the one this assembly was generated for.
using System;
using System.IO;
using System.Runtime.InteropServices;

namespace ManagedRSLib.Interop
{
    internal static unsafe class NativeLibrary
    {
        private static readonly object Gate = new object();
        private static volatile bool loaded;

        /// <summary>
        /// Loads the library once per AppDomain and compares versions and layouts. Who calls this must not call native
        /// functions in the same method: mono looks them up when it compiles the method, before this has run.
        /// </summary>
        /// <exception cref="DllNotFoundException">It is not there, or it is another version.</exception>
        internal static void Load()
        {
            if (loaded)
            {
                return;
            }
            lock (Gate)
            {
                if (!loaded)
                {
                    Preload();
                    Compare();
                    loaded = true;
                }
            }
        }

        /// <summary>
        /// Where a package keeps the library for this system: beside the assembly, by architecture. Where there is none the
        /// runtime looks in its usual places.
        /// </summary>
        private static void Preload()
        {
            var assembly = typeof(NativeLibrary).Assembly.Location;
            if (string.IsNullOrEmpty(assembly))
            {
                return;
            }
            var windows = Path.DirectorySeparatorChar == '\\';
            var system = windows ? "win-x64" : "linux-x64";
            var name = windows ? "rsl.dll" : "librsl.so";
            var directory = Path.GetDirectoryName(assembly);
            foreach (var candidate in new[]
            {
                Path.Combine(directory, name),
                Path.Combine(Path.Combine(Path.Combine(Path.Combine(directory, "runtimes"), system), "native"), name)
            })
            {
                if (File.Exists(candidate))
                {
                    // A failure shows at the first call, with the runtime's own words.
                    if (windows)
                    {
                        LoadLibraryW(candidate);
                    }
                    else
                    {
                        dlopen(candidate, NowAndGlobal);
                    }
                    return;
                }
            }
        }

        private static void Compare()
        {
            uint version;
            try
            {
                version = NativeMethods.rsl_abi_version();
            }
            catch (DllNotFoundException missing)
            {
                throw new DllNotFoundException(
                    "The native library of RSL (librsl.so, rsl.dll) is neither beside ManagedRSLib.dll, nor below "
                    + "runtimes/, nor where this system looks for libraries: " + missing.Message, missing);
            }
            catch (EntryPointNotFoundException other)
            {
                throw new DllNotFoundException("The native library that was found is not that of RSL: " + other.Message, other);
            }
            catch (BadImageFormatException other)
            {
                throw new DllNotFoundException("The native library of RSL is for another architecture: " + other.Message, other);
            }
            Compare(version);
            Compare(0, sizeof(rsl_node), true);
            Compare(1, sizeof(rsl_member_view), false);
            Compare(2, sizeof(rsl_config), false);
            Compare(3, sizeof(rsl_health), false);
            Compare(4, sizeof(rsl_stats), false);
            Compare(5, sizeof(rsl_callbacks), false);
            Compare(6, sizeof(rsl_spawn), false);
            Compare(8, sizeof(rsl_init_params), false);
            Compare(9, sizeof(rsl_exit_policy), false);
            Compare(10, sizeof(rsl_engine_status), false);
        }

        /// <summary>The major version has to be ours, the minor one at least.</summary>
        internal static void Compare(uint version)
        {
            if (version >> 16 != Abi.RSL_ABI_MAJOR || (version & 0xffff) < Abi.RSL_ABI_MINOR)
            {
                throw new DllNotFoundException(string.Format(
                    "The native library of RSL has interface {0}.{1}; this assembly needs {2}.{3} or a later minor version",
                    version >> 16, version & 0xffff, Abi.RSL_ABI_MAJOR, Abi.RSL_ABI_MINOR));
            }
        }

        private static void Compare(int which, int size, bool exact)
        {
            var theirs = NativeMethods.rsl_struct_size(which);
            if (exact ? theirs != (ulong)size : theirs < (ulong)size)
            {
                throw new DllNotFoundException(string.Format(
                    "The native library of RSL lays struct {0} out in {1} bytes, this assembly in {2}", which, theirs, size));
            }
        }

        private const int NowAndGlobal = 0x102;

        [DllImport("kernel32", CharSet = CharSet.Unicode, ExactSpelling = true)]
        private static extern IntPtr LoadLibraryW(string path);

        [DllImport("libdl.so.2", ExactSpelling = true)]
        private static extern IntPtr dlopen([MarshalAs(UnmanagedType.LPStr)] string path, int flags);
    }
}
