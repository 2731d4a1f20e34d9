// The enumerations of the managed API. Values are the legacy ones and never change.
namespace ManagedRSLib
{
    /// <summary>Results of requests and of what was asked of a machine.</summary>
    public enum RSLResponse
    {
        /// <summary>Accepted: its cookie comes back in exactly one callback.</summary>
        RSLSuccess = 0,
        /// <summary>This replica is not far enough for the fast read.</summary>
        RSLFastReadStale = 1,
        /// <summary>This replica is not the primary. For an aborted request: its outcome is unknown.</summary>
        RSLNotPrimary = 2,
        /// <summary>The replica drains, shuts down, or has ended.</summary>
        RSLShuttingDown = 3,
        /// <summary>A primary of an earlier bootstrap has been seen.</summary>
        RSLAlreadyBootstrapped = 4,
        /// <summary>The bootstrap did not come to a primary in time.</summary>
        RSLBootstrapFailed = 5,
        /// <summary>An argument that cannot be used.</summary>
        RSLInvalidParameter = 6,
        /// <summary>Too many bytes of requests wait already; try again later. Not a legacy code.</summary>
        RSLQueueFull = 100
    }

    /// <summary>The protocol versions that a replica can start with.</summary>
    public enum ManagedRSLProtocolVersion
    {
        /// <summary>Version 1.</summary>
        ManagedRSLProtocolVersion_1 = 1,
        /// <summary>Version 2.</summary>
        ManagedRSLProtocolVersion_2 = 2,
        /// <summary>Version 3.</summary>
        ManagedRSLProtocolVersion_3 = 3,
        /// <summary>Version 4.</summary>
        ManagedRSLProtocolVersion_4 = 4,
        /// <summary>Version 5.</summary>
        ManagedRSLProtocolVersion_5 = 5,
        /// <summary>Version 6.</summary>
        ManagedRSLProtocolVersion_6 = 6
    }

    /// <summary>How serious a notification is.</summary>
    public enum NotificationLevel
    {
        /// <summary>For developers.</summary>
        Debug = 0,
        /// <summary>Normal operation.</summary>
        Info = 1,
        /// <summary>A change worth knowing.</summary>
        Status = 2,
        /// <summary>Something odd.</summary>
        Warning = 3,
        /// <summary>Something failed.</summary>
        Error = 4,
        /// <summary>A broken belief; the process ends.</summary>
        Assert = 5,
        /// <summary>An operator has to act.</summary>
        Alert = 6
    }

    /// <summary>The part of the library that a notification comes from.</summary>
    public enum NotificationLogID
    {
        /// <summary>Logging itself.</summary>
        Logging = 0,
        /// <summary>Common code.</summary>
        Common = 1,
        /// <summary>The network.</summary>
        NetLib = 2,
        /// <summary>The library.</summary>
        RSLLib = 3,
        /// <summary>A damaged packet.</summary>
        NetlibCorruptPacket = 4
    }
}
