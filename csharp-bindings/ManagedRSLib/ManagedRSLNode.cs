// A member of a replica set.
using System;
using System.Net;
using System.Net.Sockets;
using ManagedRSLib.Interop;

namespace ManagedRSLib
{
    /// <summary>
    /// A member: its id, where it listens. Copied whenever it is given to the library, so that changing it afterwards has
    /// no effect. Not for use by several threads at once.
    /// </summary>
    public class ManagedRSLNode : IDisposable
    {
        /// <summary>Most bytes of a member id in UTF-8.</summary>
        public static readonly ulong MaxMemberIdLength = Abi.RSL_MEMBER_ID_SIZE - 1;

        private string memberId = "";
        private string hostName = "";
        private byte[] ip = new byte[4];
        private ushort rslPort;
        private ushort rslLearnPort;
        private bool disposed;

        /// <summary>An empty node.</summary>
        public ManagedRSLNode()
        {
        }

        /// <summary>The copy of another node.</summary>
        internal ManagedRSLNode(ManagedRSLNode other)
        {
            other.Check();
            memberId = other.memberId;
            hostName = other.hostName;
            ip = (byte[])other.ip.Clone();
            rslPort = other.rslPort;
            rslLearnPort = other.rslLearnPort;
        }

        /// <summary>Releases nothing: a node is managed memory.</summary>
        ~ManagedRSLNode()
        {
            Dispose(false);
        }

        /// <summary>The member's id.</summary>
        /// <exception cref="ArgumentNullException">It is null.</exception>
        /// <exception cref="ArgumentException">It has 64 bytes or more in UTF-8, or a NUL.</exception>
        public string MemberId
        {
            get { return Checked(memberId); }
            set { memberId = Fitting(value, Abi.RSL_MEMBER_ID_SIZE, "MemberId"); }
        }

        /// <summary>Its host name, looked up when there is no address.</summary>
        /// <exception cref="ArgumentNullException">It is null.</exception>
        /// <exception cref="ArgumentException">It has 256 bytes or more in UTF-8, or a NUL.</exception>
        public string HostName
        {
            get { return Checked(hostName); }
            set { hostName = Fitting(value, Abi.RSL_HOST_NAME_SIZE, "HostName"); }
        }

        /// <summary>Its IPv4 address; 0.0.0.0 = by host name.</summary>
        /// <exception cref="ArgumentNullException">It is null.</exception>
        /// <exception cref="ArgumentException">It is no IPv4 address.</exception>
        public IPAddress Ip
        {
            get { return new IPAddress(Checked(ip)); }
            set
            {
                Check();
                if (value == null)
                {
                    throw new ArgumentNullException("Ip");
                }
                if (value.AddressFamily != AddressFamily.InterNetwork)
                {
                    throw new ArgumentException("Only IPv4 addresses can be used", "Ip");
                }
                ip = value.GetAddressBytes();
            }
        }

        /// <summary>The port for packets.</summary>
        public ushort RslPort
        {
            get { return Checked(rslPort); }
            set
            {
                Check();
                rslPort = value;
            }
        }

        /// <summary>The port for learning; 0 = <see cref="RslPort"/> + 1.</summary>
        public ushort RslLearnPort
        {
            get { return Checked(rslLearnPort); }
            set
            {
                Check();
                rslLearnPort = value;
            }
        }

        /// <summary>Ends the use of the node: its members throw <see cref="ObjectDisposedException"/> from now on.</summary>
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

        internal void Check()
        {
            if (disposed)
            {
                throw new ObjectDisposedException("ManagedRSLNode");
            }
        }

        internal unsafe void Fill(rsl_node* node)
        {
            Check();
            *node = default(rsl_node);
            Utf8.Put(memberId, node->member_id, Abi.RSL_MEMBER_ID_SIZE);
            Utf8.Put(hostName, node->host_name, Abi.RSL_HOST_NAME_SIZE);
            node->ip = BitConverter.ToUInt32(ip, 0);
            node->rsl_port = rslPort;
            node->learn_port = rslLearnPort;
        }

        internal unsafe void Take(rsl_node* node)
        {
            Check();
            memberId = Utf8.Get(node->member_id, Abi.RSL_MEMBER_ID_SIZE);
            hostName = Utf8.Get(node->host_name, Abi.RSL_HOST_NAME_SIZE);
            ip = BitConverter.GetBytes(node->ip);
            rslPort = node->rsl_port;
            rslLearnPort = node->learn_port;
        }

        private T Checked<T>(T value)
        {
            Check();
            return value;
        }

        private string Fitting(string value, int size, string name)
        {
            Check();
            if (value == null)
            {
                throw new ArgumentNullException(name);
            }
            if (Utf8.Length(value) >= size || value.IndexOf('\0') >= 0)
            {
                throw new ArgumentException("It may have at most " + (size - 1) + " bytes, and no NUL", name);
            }
            return value;
        }
    }
}
