// The public surface, compared by reflection with the one in the specification.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;

namespace ManagedRSLib.Tests
{
    internal static class Surface
    {
        private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

        // Additions to legacy types (decision 16, NET-8); other additions are types of their own.
        private static readonly string[] Added =
        {
            "RSLResponse.RSLQueueFull = 100", "MaxCheckpointSizeGB", "MinCheckpointSpaceFileCount", "MaxMessageAlertSizeMB",
            "AddMemberIdToWorkingDir", "CancelDiskIo",
            // An override that Close needs.
            "protected virtual ManagedRSLCheckpointStream.Dispose(bool disposing)"
        };

        // [NET-1] [NET-2] [NET-4] [NET-5] [NET-12] [NET-33] Names, parameter names and modes, types, accessibility,
        // abstract, virtual, static, values of enumerations: all of the specification, and nothing more but what is listed.
        [Test]
        public static void IsTheOneOfTheSpecification()
        {
            var ours = typeof(ManagedRSLStateMachine).Assembly;
            Expect.Same("ManagedRSLib", ours.GetName().Name, "the assembly");
            Expect.Same(new Version(6, 0, 0, 0), ours.GetName().Version, "its version");
            var file = Path.Combine(Path.GetDirectoryName(ours.Location), Path.Combine("spec", "ManagedRSLib.dll"));
            var specified = Members(Assembly.LoadFile(file).GetExportedTypes());
            Expect.True(specified.Count > 180, "only " + specified.Count + " members in the specification");
            var names = new HashSet<string>(Assembly.LoadFile(file).GetExportedTypes().Select(type => type.FullName));
            var found = Members(ours.GetExportedTypes().Where(type => names.Contains(type.FullName)));
            var missing = specified.Except(found).ToArray();
            Expect.Same("", string.Join("\n", missing), "missing");
            var unlisted = found.Except(specified).Where(member => !Added.Any(added => member.Contains(added))).ToArray();
            Expect.Same("", string.Join("\n", unlisted), "not in the specification");
        }

        // [NET-3] [NET-28] No pointer in the public surface; what legacy does not expose is not among the machine's members.
        [Test]
        public static void HasNoPointersAndNothingHidden()
        {
            var members = Members(typeof(ManagedRSLStateMachine).Assembly.GetExportedTypes());
            Expect.Same("", string.Join("\n", members.Where(member => member.Contains("*"))), "pointers");
            foreach (var name in new[] { "ReplicateRequestExclusiveVote", "IsInStableState", "RelinquishPrimary", "ResolveNode", "BeforeExecute", "AfterExecute" })
            {
                Expect.True(typeof(ManagedRSLStateMachine).GetMember(name, All).Length == 0, name + " is exposed");
            }
            Expect.Same(1, typeof(ManagedRSLStateMachine).GetMember("Replay").Length, "forms of Replay");
        }

        private static List<string> Members(IEnumerable<Type> types)
        {
            return types.SelectMany(Members).ToList();
        }

        private static IEnumerable<string> Members(Type type)
        {
            yield return Describe(type);
            if (typeof(Delegate).IsAssignableFrom(type))
            {
                yield return Describe(type.GetMethod("Invoke"));
                yield break;
            }
            foreach (var member in type.GetMembers(All))
            {
                var method = member as MethodBase;
                var field = member as FieldInfo;
                var property = member as PropertyInfo;
                if (method != null && IsVisible(method) && method.Name != "Finalize")
                {
                    yield return Describe(method);
                }
                else if (field != null && (field.IsPublic || field.IsFamily) && field.Name != "value__")
                {
                    yield return Describe(field);
                }
                else if (property != null && property.GetAccessors().Length > 0)
                {
                    yield return Name(property.PropertyType) + " " + type.Name + "." + property.Name;
                }
            }
        }

        private static bool IsVisible(MethodBase method)
        {
            return method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;
        }

        private static string Describe(Type type)
        {
            var kind = type.IsEnum ? "enum:" + Enum.GetUnderlyingType(type).Name : type.IsInterface ? "interface" : "class";
            var interfaces = type.IsEnum ? new string[0] : type.GetInterfaces().Select(face => face.Name).OrderBy(name => name, StringComparer.Ordinal).ToArray();
            return string.Join(" ", new[]
            {
                kind, type.FullName, type.IsAbstract ? "abstract" : "", type.IsSealed ? "sealed" : "",
                type.BaseType == null ? "" : type.BaseType.Name, string.Join(",", interfaces)
            });
        }

        private static string Describe(FieldInfo field)
        {
            var value = field.DeclaringType.IsEnum ? " = " + Convert.ToInt32(field.GetRawConstantValue()) : "";
            return Name(field.FieldType) + " field " + (field.IsStatic ? "static " : "") + (field.IsInitOnly ? "readonly " : "")
                + field.DeclaringType.Name + "." + field.Name + value;
        }

        private static string Describe(MethodBase method)
        {
            var result = method as MethodInfo;
            var words = new List<string> { result == null ? "new" : Name(result.ReturnType), method.IsFamily ? "protected" : "public" };
            if (method.IsStatic || (method.IsVirtual && !method.IsFinal))
            {
                words.Add(method.IsStatic ? "static" : method.IsAbstract ? "abstract" : "virtual");
            }
            var parameters = method.GetParameters().Select(p => Name(p.ParameterType) + (p.IsOut ? " out " : " ") + p.Name);
            return string.Join(" ", words) + " " + method.DeclaringType.Name + "." + method.Name + "(" + string.Join(", ", parameters) + ")";
        }

        private static string Name(Type type)
        {
            return type == typeof(uint) ? "uint" : type == typeof(bool) ? "bool" : type.ToString();
        }
    }
}
