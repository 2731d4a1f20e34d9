// The identity of the assembly, as legacy clients reference it.
using System.Reflection;
using System.Runtime.CompilerServices;

[assembly: AssemblyTitle("ManagedRSLib")]
[assembly: AssemblyVersion("6.0.0.0")]
[assembly: AssemblyFileVersion("6.0.0.0")]
[assembly: InternalsVisibleTo("ManagedRSLib.Tests")]
