// A replica set with its cookie.
using System;
using System.Runtime.InteropServices;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>Members and the opaque bytes that travel with them. Not for use by several threads at once.</summary>
    public class ManagedRSLMemberSet : IDisposable
    {
        private ManagedRSLNode[] members = new ManagedRSLNode[0];
        private byte[] cookie;
        private bool disposed;

        /// <summary>An empty set.</summary>
        public ManagedRSLMemberSet()
        {
        }

        /// <summary>Copies members, and <paramref name="length"/> bytes of the cookie from <paramref name="offset"/> on.</summary>
        /// <param name="gc_members">The members.</param>
        /// <param name="gc_cookie">Null or empty: no cookie; then the numbers are ignored.</param>
        /// <param name="offset">Where the cookie begins in its array.</param>
        /// <param name="length">Its length.</param>
        /// <exception cref="ArgumentNullException">There are no members.</exception>
        /// <exception cref="ArgumentException">A member is null, or the range is outside the array.</exception>
        public ManagedRSLMemberSet(ManagedRSLNode[] gc_members, byte[] gc_cookie, int offset, int length)
        {
            if (gc_members == null)
            {
                throw new ArgumentNullException("gc_members");
            }
            members = Copies(gc_members, "gc_members");
            if (gc_cookie == null || gc_cookie.Length == 0)
            {
                return;
            }
            if (offset < 0 || length < 0)
            {
                throw new ArgumentOutOfRangeException(offset < 0 ? "offset" : "length");
            }
            if (offset >= gc_cookie.Length || length > gc_cookie.Length - offset)
            {
                throw new ArgumentException("The cookie's range is outside its array", "offset");
            }
            cookie = length == 0 ? null : Part(gc_cookie, offset, length);
        }

        /// <summary>Releases nothing: a set is managed memory.</summary>
        ~ManagedRSLMemberSet()
        {
            Dispose(false);
        }

        /// <summary>Copies of the members.</summary>
        public ManagedRSLNode[] MemberArray
        {
            get
            {
                Check();
                return Copies(members, "MemberArray");
            }
        }

        /// <summary>A copy of the cookie; null when there is none.</summary>
        public byte[] ConfigurationCookie
        {
            get
            {
                Check();
                return cookie == null ? null : (byte[])cookie.Clone();
            }
        }

        /// <summary>A copy of the member with this id, in this spelling; null when there is none.</summary>
        /// <exception cref="ArgumentNullException">The id is null.</exception>
        public ManagedRSLNode GetMemberInfo(string gc_memberId)
        {
            Check();
            if (gc_memberId == null)
            {
                throw new ArgumentNullException("gc_memberId");
            }
            var found = Array.Find(members, member => string.Equals(member.MemberId, gc_memberId, StringComparison.Ordinal));
            return found == null ? null : new ManagedRSLNode(found);
        }

        /// <summary>Ends the use of the set: its members throw <see cref="ObjectDisposedException"/> from now on.</summary>
        public void Dispose()
        {
            Dispose(true);
            GC.SuppressFinalize(this);
        }

        /// <summary>As <see cref="Dispose()"/>.</summary>
        protected virtual void Dispose(bool disposing)
        {
            disposed = true;
        }

        internal unsafe void Take(MemberSetHandle handle)
        {
            Check();
            var taken = new ManagedRSLNode[(int)NativeMethods.rsl_member_set_count(handle)];
            for (var index = 0; index < taken.Length; index++)
            {
                taken[index] = new ManagedRSLNode();
                taken[index].Take(NativeMethods.rsl_member_set_node(handle, (UIntPtr)(uint)index));
            }
            uint length;
            var bytes = NativeMethods.rsl_member_set_cookie(handle, &length);
            members = taken;
            cookie = null;
            if (length > 0)
            {
                cookie = new byte[length];
                Marshal.Copy((IntPtr)bytes, cookie, 0, (int)length);
            }
        }

        internal unsafe delegate int WithView(rsl_member_view* view);

        /// <summary>Lends the set to a native call.</summary>
        internal unsafe int Lend(WithView call)
        {
            Check();
            // At least one, so that there is something to pin.
            var nodes = new rsl_node[Math.Max(1, members.Length)];
            fixed (rsl_node* first = nodes)
            fixed (byte* bytes = cookie)
            {
                for (var index = 0; index < members.Length; index++)
                {
                    members[index].Fill(first + index);
                }
                var view = new rsl_member_view
                {
                    struct_size = (uint)sizeof(rsl_member_view),
                    cookie_len = cookie == null ? 0 : (uint)cookie.Length,
                    nodes = members.Length == 0 ? null : first,
                    node_count = (UIntPtr)(uint)members.Length,
                    cookie = (IntPtr)bytes
                };
                return call(&view);
            }
        }

        private void Check()
        {
            if (disposed)
            {
                throw new ObjectDisposedException("ManagedRSLMemberSet");
            }
        }

        private static ManagedRSLNode[] Copies(ManagedRSLNode[] nodes, string name)
        {
            var copies = new ManagedRSLNode[nodes.Length];
            for (var index = 0; index < nodes.Length; index++)
            {
                if (nodes[index] == null)
                {
                    throw new ArgumentException("A member is null", name);
                }
                copies[index] = new ManagedRSLNode(nodes[index]);
            }
            return copies;
        }

        private static byte[] Part(byte[] bytes, int offset, int length)
        {
            var part = new byte[length];
            Buffer.BlockCopy(bytes, offset, part, 0, length);
            return part;
        }
    }
}
