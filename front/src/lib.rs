//! HTTP/2, TLS and gRPC framing for a service whose decisions are made in Python.
//!
//! # Theory of operation
//!
//! A `Front` listens at one address, on one operating system thread with a tokio runtime of its own, which never takes
//! Python's lock. The way of a call:
//!
//! 1. `server` accepts a connection, within a bound; past it the oldest that never asked anything goes. With TLS it
//!    asks Python (through the queue, like any question) whether certificates have changed, and whether a client may ask.
//! 2. `conn` lets hyper speak HTTP/2. Each call becomes one message (`message`) within a time and a size, or a cause
//!    for which it is refused.
//! 3. Message or cause goes into the `queue`, and one byte on a socket wakes Python's event loop, once a batch.
//! 4. Python calls `take`: bytes are copied into Python objects under its lock, in its own thread. It decides about
//!    what is asked, makes denials for what is refused, so that they are logged and counted like any other, and calls
//!    `respond` with a batch, which wakes the thread of the connections once.
//! 5. Every call gets its answer as a message with status OK. A gRPC error is given only for methods that do not exist,
//!    and for health checks.
//!
//! When a peer resets a stream, or its connection ends, hyper drops the future of the call, and with it its ticket:
//! then the call is taken out of the queue, or, if Python has it already, `take` names it among those given up. A
//! deadline that passed in the queue makes the check a refusal.
//!
//! Bounds, from the outside in: connections, time for a handshake and a preface, unanswered pings, streams of a
//! connection, bytes of headers, resets, bytes and time of a message, messages that are not complete (number, bytes),
//! checks that wait (number, bytes), and refusals that wait, past which nothing is read.
//!
//! What this crate does not know: what a check means. It parses no protobuf and holds no secret but the key of TLS.
#![forbid(unsafe_code)]

pub mod conn;
pub mod message;
#[cfg(feature = "python")]
mod python;
pub mod queue;
pub mod server;
pub mod tls;
