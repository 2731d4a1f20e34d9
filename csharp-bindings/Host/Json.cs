// JSON as the control port answers it: one object per line.
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace RSLHost
{
    /// <summary>An object, in the order in which its fields are added.</summary>
    internal sealed class Json : IEnumerable
    {
        private readonly List<KeyValuePair<string, object>> fields = new List<KeyValuePair<string, object>>();

        public void Add(string name, object value)
        {
            fields.Add(new KeyValuePair<string, object>(name, value));
        }

        public IEnumerator GetEnumerator()
        {
            return fields.GetEnumerator();
        }

        public override string ToString()
        {
            var text = new StringBuilder();
            Write(text, this);
            return text.ToString();
        }

        private static void Write(StringBuilder text, object value)
        {
            var json = value as Json;
            var words = value as string;
            var list = value as IEnumerable;
            if (json != null)
            {
                text.Append('{');
                for (var index = 0; index < json.fields.Count; index++)
                {
                    text.Append(index == 0 ? "" : ",");
                    Quote(text, json.fields[index].Key);
                    text.Append(':');
                    Write(text, json.fields[index].Value);
                }
                text.Append('}');
            }
            else if (words != null)
            {
                Quote(text, words);
            }
            else if (list != null)
            {
                var first = true;
                text.Append('[');
                foreach (var item in list)
                {
                    text.Append(first ? "" : ",");
                    first = false;
                    Write(text, item);
                }
                text.Append(']');
            }
            else if (value is bool)
            {
                text.Append((bool)value ? "true" : "false");
            }
            else
            {
                text.Append(System.Convert.ToString(value, CultureInfo.InvariantCulture));
            }
        }

        private static void Quote(StringBuilder text, string words)
        {
            text.Append('"');
            foreach (var character in words)
            {
                if (character == '"' || character == '\\')
                {
                    text.Append('\\').Append(character);
                }
                else if (character < ' ')
                {
                    text.Append("\\u").Append(((int)character).ToString("x4"));
                }
                else
                {
                    text.Append(character);
                }
            }
            text.Append('"');
        }
    }

    /// <summary>Bytes as lower-case hexadecimal digits.</summary>
    internal static class Hex
    {
        public static string Encode(byte[] bytes, int count)
        {
            var text = new StringBuilder(count * 2);
            for (var index = 0; index < count; index++)
            {
                text.Append(bytes[index].ToString("x2"));
            }
            return text.ToString();
        }

        public static byte[] Decode(string text)
        {
            if (text.Length % 2 != 0)
            {
                throw new CommandException("an odd number of digits: " + text);
            }
            var bytes = new byte[text.Length / 2];
            for (var index = 0; index < bytes.Length; index++)
            {
                bytes[index] = (byte)(Digit(text[2 * index]) << 4 | Digit(text[2 * index + 1]));
            }
            return bytes;
        }

        private static int Digit(char digit)
        {
            var value = "0123456789abcdef".IndexOf(char.ToLowerInvariant(digit));
            if (value < 0)
            {
                throw new CommandException("no hexadecimal digit: " + digit);
            }
            return value;
        }
    }

    /// <summary>A wrong argument: its text is the answer.</summary>
    internal sealed class CommandException : System.Exception
    {
        public CommandException(string message)
            : base(message)
        {
        }
    }
}
