//! The service on the real parts, with every fault that can be thrown at it.
