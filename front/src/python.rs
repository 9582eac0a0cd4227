//! What Python sees: `Front`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tokio::sync::watch;

use crate::conn::Listener;
use crate::message::framed;
use crate::queue::{Asked, Bounds, Field, Queue, Reply};
use crate::server::{Parts, Server, Tls};
use crate::tls::configuration;

const NOT_FOUND: u8 = 5;
const INTERNAL: u8 = 13;

type Names = Vec<String>;
/// Id, message, when it came and when its caller gives up, in seconds by Python's monotonic clock (infinite where it
/// did not say), metadata.
type Check<'py> = (u64, Bound<'py, PyBytes>, f64, f64, Vec<Field>);
/// Kind, id, message, metadata.
type Other<'py> = (u8, u64, Bound<'py, PyBytes>, Vec<Field>);
/// Certificate, key, authority of clients, and whether Python is asked which of them may ask.
type TlsArguments = (Vec<u8>, Vec<u8>, Option<Vec<u8>>, bool);

/// One address at which calls are taken.
#[pyclass(frozen, module = "extauthz_front")]
struct Front {
    queue: Arc<Queue>,
    tls: Option<Arc<Tls>>,
    server: Server,
    /// A moment by Rust's clock and by Python's, in seconds.
    moment: (Instant, f64),
}

#[pymethods]
impl Front {
    /// Bind and serve. `address` is an IP address with a port, or `unix:PATH`; `now_s` is `time.monotonic()`;
    /// `checks`, `bytes`, `connections` and `message_limit` are bounds; `metadata` names what Python wants to see of
    /// each call, in lower case. Raises OSError when the address cannot be bound, ValueError for TLS that cannot serve.
    #[new]
    #[pyo3(signature = (address, *, check_path, health_path, now_s, checks, bytes, connections, message_limit,
                        metadata, tls=None))]
    #[allow(clippy::too_many_arguments)] // keywords, all of them
    fn new(
        address: &str,
        check_path: String,
        health_path: String,
        now_s: f64,
        checks: usize,
        bytes: usize,
        connections: usize,
        message_limit: usize,
        metadata: Names,
        tls: Option<TlsArguments>,
    ) -> PyResult<Self> {
        let queue = Arc::new(Queue::new(Bounds { checks, bytes })?);
        let (drain, draining) = watch::channel(false);
        let listener = Arc::new(Listener {
            queue: Arc::clone(&queue),
            check_path,
            health_path,
            message_limit,
            metadata,
            draining,
        });
        let tls = match tls {
            None => None,
            Some((cert, key, client_ca, named)) => Some(Arc::new(Tls {
                current: Mutex::new(configuration(&cert, &key, client_ca.as_deref()).map_err(PyValueError::new_err)?),
                named,
            })),
        };
        let parts = Parts { listener, tls: tls.clone(), connections, drain };
        let server = Server::start(address, parts)?;
        Ok(Self { queue, tls, server, moment: (Instant::now(), now_s) })
    }

    /// The port, 0 for a Unix socket.
    #[getter]
    fn port(&self) -> u16 {
        self.server.port
    }

    /// Connections that are open.
    #[getter]
    fn connections(&self) -> usize {
        self.server.open_connections()
    }

    /// Calls that are open, whether they were taken or not.
    #[getter]
    fn calls(&self) -> usize {
        self.queue.open_calls()
    }

    /// Readable when there is something to take.
    fn fileno(&self) -> i32 {
        self.queue.fileno()
    }

    /// At most `most` checks, everything else that was asked, and the ids of calls that are given up.
    fn take<'py>(&self, py: Python<'py>, most: usize) -> (Vec<Check<'py>>, Vec<Other<'py>>, Vec<u64>) {
        let taken = self.queue.take(most, Instant::now());
        let checks = taken.checks.into_iter().map(|check| {
            let came_s = self.by_pythons_clock(check.came);
            let deadline_s = check.deadline.map_or(f64::INFINITY, |deadline| self.by_pythons_clock(deadline));
            (check.id, PyBytes::new(py, &check.payload), came_s, deadline_s, check.metadata)
        });
        let others = taken
            .others
            .into_iter()
            .map(|other| (kind(other.asked), other.id, PyBytes::new(py, &other.payload), other.metadata));
        (checks.collect(), others.collect(), taken.given_up)
    }

    /// Answer calls: pairs of id and message. Raises TypeError, and then none of them is answered.
    fn respond(&self, answers: &Bound<'_, PyList>) -> PyResult<()> {
        let mut replies = Vec::with_capacity(answers.len());
        for answer in answers {
            let (id, message): (u64, Bound<'_, PyBytes>) = answer.extract()?;
            let reply = framed(message.as_bytes()).map_or(Reply::Status(INTERNAL, "too long"), Reply::Message);
            replies.push((id, reply));
        }
        self.queue.respond(replies);
        Ok(())
    }

    /// Answer a health check for a service that is not here.
    fn not_found(&self, id: u64) {
        self.queue.respond([(id, Reply::Status(NOT_FOUND, "unknown service"))]);
    }

    /// What handshakes use from now on, from PEM. Raises ValueError when it cannot be used; then nothing changes.
    #[pyo3(signature = (cert, key, client_ca))]
    fn renew(&self, cert: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> PyResult<()> {
        let Some(tls) = &self.tls else {
            return Err(PyRuntimeError::new_err("this listener speaks plain text"));
        };
        let renewed = configuration(cert, key, client_ca).map_err(PyValueError::new_err)?;
        *tls.current.lock().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// Accept no more, and tell peers to ask elsewhere; what is under way goes on.
    fn drain(&self) {
        self.server.drain();
    }

    /// End at once.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.server.close());
    }
}

impl Front {
    fn by_pythons_clock(&self, when: Instant) -> f64 {
        let (instant, seconds) = self.moment;
        match when.checked_duration_since(instant) {
            Some(later) => seconds + later.as_secs_f64(),
            None => seconds - instant.saturating_duration_since(when).as_secs_f64(),
        }
    }
}

const HEALTH: u8 = 4;
const CERTIFICATES: u8 = 5;
const CLIENT: u8 = 6;

fn kind(asked: Asked) -> u8 {
    match asked {
        Asked::Refusal(cause) => cause as u8,
        Asked::Health => HEALTH,
        Asked::Client => CLIENT,
        // Checks are a list of their own.
        Asked::Certificates | Asked::Check => CERTIFICATES,
    }
}

/// HTTP/2, TLS and gRPC framing for a service whose decisions are made in Python.
#[pymodule]
mod extauthz_front {
    #[pymodule_export]
    use super::Front;
    #[pymodule_export]
    const HEALTH: u8 = super::HEALTH;
    #[pymodule_export]
    const CERTIFICATES: u8 = super::CERTIFICATES;
    #[pymodule_export]
    const CLIENT: u8 = super::CLIENT;
    #[pymodule_export]
    const INVALID: u8 = crate::queue::Cause::Invalid as u8;
    #[pymodule_export]
    const OVERLOADED: u8 = crate::queue::Cause::Overloaded as u8;
    #[pymodule_export]
    const LATE: u8 = crate::queue::Cause::Late as u8;
    #[pymodule_export]
    const PEER: u8 = crate::queue::Cause::Peer as u8;
}
