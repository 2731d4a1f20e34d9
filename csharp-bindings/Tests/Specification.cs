// The tables of managed.md itself, read as text and looked up by reflection: what a transcription could leave out.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using System.Reflection;
using System.Text.RegularExpressions;

namespace ManagedRSLib.Tests
{
    internal static class Specification
    {
        private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static;

        private static readonly Dictionary<string, Type> Keywords = new Dictionary<string, Type>
        {
            { "void", typeof(void) }, { "bool", typeof(bool) }, { "byte", typeof(byte) }, { "ushort", typeof(ushort) },
            { "int", typeof(int) }, { "uint", typeof(uint) }, { "long", typeof(long) }, { "ulong", typeof(ulong) },
            { "string", typeof(string) }, { "object", typeof(object) }, { "DateTime", typeof(DateTime) }, { "IPAddress", typeof(IPAddress) }
        };

        /// <summary>The sections that list members, and whose members they are.</summary>
        private static readonly Dictionary<string, Type> Sections = new Dictionary<string, Type>
        {
            { "2", typeof(ManagedRSLNode) }, { "3", typeof(ManagedRSLMemberSet) }, { "6", typeof(ManagedRSLCheckpointStream) },
            { "8", typeof(ManagedRSLStateMachine) }, { "9", typeof(ManagedRSLStateMachine) }, { "11", typeof(ManagedRSLStateMachine) }
        };

        private static string[] Lines()
        {
            var here = Path.GetDirectoryName(Assembly.GetExecutingAssembly().Location);
            return File.ReadAllLines(Path.Combine(Path.Combine(here, "spec"), "managed.md"));
        }

        /// <summary>The lines of a section.</summary>
        private static IEnumerable<string> Section(string number)
        {
            return Lines().SkipWhile(line => !line.StartsWith("## " + number + ".")).Skip(1).TakeWhile(line => !line.StartsWith("## "));
        }

        /// <summary>What stands in backquotes.</summary>
        private static IEnumerable<string> Quoted(string text)
        {
            return Regex.Matches(text, "`([^`]*)`").Cast<Match>().Select(match => match.Groups[1].Value);
        }

        // [NET-2] [NET-33] Every member in a table of sections 2, 3, 6, 8, 9 and 11: its name; where the table gives them, its
        // result, parameters and modifiers.
        [Test]
        public static void EveryMemberOfTheTablesExists()
        {
            var found = 0;
            foreach (var section in Sections)
            {
                var last = "";
                foreach (var row in Section(section.Key).Where(line => line.StartsWith("| ") && !line.StartsWith("| **")))
                {
                    var cell = row.Substring(1, row.IndexOf(" |", 1, StringComparison.Ordinal) - 1).Trim();
                    foreach (var quoted in Quoted(cell))
                    {
                        // A row that goes on where the one above it has its end.
                        last = quoted.StartsWith(",") ? last.TrimEnd(')') + quoted : quoted;
                        Check(section.Value, last);
                        found++;
                    }
                }
            }
            Expect.Same(84, found, "members in the tables");
        }

        // [NET-5] [NET-8] [NET-12] Enumerations with their values; the properties of the configuration and of health, the
        // fields of the statistics, with their types.
        [Test]
        public static void EveryValuePropertyAndFieldExists()
        {
            var values = 0;
            foreach (var row in Section("1").Where(line => line.StartsWith("| `")))
            {
                var type = Find(Quoted(row).First());
                foreach (Match match in Regex.Matches(row, @"`(\w+)` (\d+)"))
                {
                    Expect.Same(match.Groups[2].Value, Convert.ToInt32(Enum.Parse(type, match.Groups[1].Value)).ToString(), match.Groups[1].Value);
                    values++;
                }
            }
            Expect.Same(19, values, "values of enumerations that are spelt out");
            for (var version = 1; version <= 6; version++)
            {
                Expect.Same(version, (int)Enum.Parse(typeof(ManagedRSLProtocolVersion), "ManagedRSLProtocolVersion_" + version), "a version");
            }

            var config = Section("4").First(line => line.StartsWith("Properties"));
            var type4 = typeof(object);
            var properties = 0;
            foreach (var word in Quoted(config.Substring(config.IndexOf(':'))))
            {
                if (Keywords.ContainsKey(word))
                {
                    type4 = Keywords[word];
                    continue;
                }
                Expect.Same(type4, Property(typeof(ManagedRSLConfigParam), word).PropertyType, word);
                properties++;
            }
            Expect.Same(28, properties, "properties of the configuration");

            var health = Section("5").First(line => line.StartsWith("`ManagedReplicaHealth()`"));
            var described = Quoted(health).Skip(1).ToArray();
            Expect.Same(10, described.Length, "properties of health");
            foreach (var words in described.Select(text => text.Split(' ')))
            {
                Expect.Same(Find(words[0]), Property(typeof(ManagedReplicaHealth), words[1]).PropertyType, words[1]);
            }
            var stats = Quoted(Section("5").First(line => line.StartsWith("`ManagedRSLStats`"))).Skip(1).First();
            var fields = 0;
            foreach (var group in stats.Split(';').Select(text => text.Trim()))
            {
                var type = Find(group.Substring(0, group.IndexOf(' ')));
                foreach (var name in group.Substring(group.IndexOf(' ')).Split(',').Select(text => text.Trim()))
                {
                    var field = typeof(ManagedRSLStats).GetField(name);
                    Expect.True(field != null && field.FieldType == type, "field " + name);
                    fields++;
                }
            }
            Expect.Same(fields, typeof(ManagedRSLStats).GetFields().Length, "fields of the statistics");
        }

        private static PropertyInfo Property(Type type, string name)
        {
            var property = type.GetProperty(name);
            Expect.True(property != null && property.CanRead && property.CanWrite, "property " + name);
            return property;
        }

        /// <summary>Looks one member up: [modifiers] [result] name[(parameters)] [{get...}].</summary>
        private static void Check(Type type, string text)
        {
            var open = text.IndexOf('(');
            var brace = text.IndexOf('{');
            var head = (open >= 0 ? text.Substring(0, open) : brace >= 0 ? text.Substring(0, brace) : text).Trim().Split(' ');
            var name = head.Last();
            var result = head.Length > 1 ? Find(head[head.Length - 2]) : null;
            var isStatic = head.Contains("static");
            // "virtual" is named where a member need not be implemented, "delegate" makes a type.
            if (head.Contains("delegate"))
            {
                type = type.GetNestedType(name);
                Expect.True(type != null, text);
                name = "Invoke";
            }
            if (open < 0)
            {
                CheckValue(type, name, result, isStatic, text);
                return;
            }
            var wanted = text.Substring(open + 1, text.LastIndexOf(')') - open - 1).Split(new[] { ", " }, StringSplitOptions.RemoveEmptyEntries);
            var candidates = name == type.Name
                ? type.GetConstructors(All).Cast<MethodBase>()
                : type.GetMember(name, MemberTypes.Method, All).Cast<MethodBase>();
            Expect.True(candidates.Any(method => Fits(method, wanted, result, isStatic, head.Contains("virtual"))), text + " of " + type.Name);
        }

        private static void CheckValue(Type type, string name, Type result, bool isStatic, string text)
        {
            var member = type.GetMember(name, All).FirstOrDefault();
            var property = member as PropertyInfo;
            var field = member as FieldInfo;
            var method = member as MethodInfo;
            Expect.True(member != null, text + " of " + type.Name);
            if (property != null)
            {
                Expect.True(result == null || property.PropertyType == result, text);
                Expect.True(!text.Contains("get") || property.CanRead, text);
                Expect.True(!text.Contains("set") || property.GetSetMethod() != null, text);
            }
            else if (field != null)
            {
                Expect.True(field.IsStatic == isStatic && field.IsInitOnly && field.FieldType == result, text);
            }
            else
            {
                Expect.True(method != null && method.IsPublic, text);
            }
        }

        private static bool Fits(MethodBase method, string[] wanted, Type result, bool isStatic, bool isVirtual)
        {
            var parameters = method.GetParameters();
            var returned = method as MethodInfo;
            return parameters.Length == wanted.Length && method.IsPublic && method.IsStatic == isStatic && (!isVirtual || method.IsVirtual)
                && (result == null || returned == null || returned.ReturnType == result)
                && parameters.Zip(wanted, Fits).All(fits => fits);
        }

        /// <summary>A parameter by its type and name, its name alone, or its type alone.</summary>
        private static bool Fits(ParameterInfo parameter, string wanted)
        {
            var words = wanted.Split(' ');
            var byReference = words[0] == "ref";
            var type = words.Length > (byReference ? 2 : 1) ? words[byReference ? 1 : 0] : Keywords.ContainsKey(words[0]) ? words[0] : null;
            var actual = parameter.ParameterType.IsByRef ? parameter.ParameterType.GetElementType() : parameter.ParameterType;
            return (type == null || actual == Find(type) && parameter.ParameterType.IsByRef == byReference)
                && (words.Length == 1 && type != null || parameter.Name == words.Last());
        }

        private static Type Find(string name)
        {
            if (name.EndsWith("[]"))
            {
                return Find(name.Substring(0, name.Length - 2)).MakeArrayType();
            }
            Type known;
            if (Keywords.TryGetValue(name, out known))
            {
                return known;
            }
            var found = typeof(ManagedRSLNode).Assembly.GetExportedTypes().FirstOrDefault(type => type.Name == name);
            Expect.True(found != null, "type " + name);
            return found;
        }
    }
}
