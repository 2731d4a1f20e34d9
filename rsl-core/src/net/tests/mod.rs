//! Tests of the packet service and the learn port over loopback sockets.
