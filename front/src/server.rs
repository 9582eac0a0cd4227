//! The thread of the connections: it binds nothing that Python did not name, accepts, drains, and ends.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::conn::{Line, Listener, OPENING, serve};
use crate::message::PREFIX;
use crate::queue::{Asked, Queue, Reply};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long accepting pauses when the process is out of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// TLS of a listener.
pub struct Tls {
    /// What the next handshake uses.
    pub current: Mutex<Arc<ServerConfig>>,
    /// Whether Python is asked which clients may ask.
    pub named: bool,
}

/// Everything that a server is made of.
pub struct Parts {
    /// What connections share.
    pub listener: Arc<Listener>,
    /// TLS, or plain text.
    pub tls: Option<Arc<Tls>>,
    /// Connections at once.
    pub connections: usize,
    /// Turned to true by `drain`.
    pub drain: watch::Sender<bool>,
}

/// A server that runs.
pub struct Server {
    drain: watch::Sender<bool>,
    close: Arc<Notify>,
    open: Arc<AtomicUsize>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The port, 0 for a Unix socket.
    pub port: u16,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Server {
    /// Bind, and serve on a thread of its own. `place` is `unix:PATH` or an address with a port.
    ///
    /// # Errors
    /// When the place cannot be bound.
    pub fn start(place: &str, parts: Parts) -> io::Result<Self> {
        let queue = Arc::clone(&parts.listener.queue);
        let parking = Arc::clone(&queue);
        let runtime =
            Builder::new_current_thread().enable_io().enable_time().on_thread_park(move || parking.flush()).build()?;
        let socket = bind(&runtime, place)?;
        let port = match &socket {
            Socket::Tcp(listener) => listener.local_addr()?.port(),
            Socket::Unix(_) => 0,
        };
        let drain = parts.drain.clone();
        let close = Arc::new(Notify::new());
        let open = Arc::new(AtomicUsize::new(0));
        let (closing, counted) = (Arc::clone(&close), Arc::clone(&open));
        let thread = std::thread::Builder::new().name("front".into()).spawn(move || {
            runtime.spawn(async move { queue.distribute().await });
            runtime.block_on(async {
                tokio::select! {
                    () = accept(socket, parts, counted) => {}
                    () = closing.notified() => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { drain, close, open, thread: Mutex::new(Some(thread)), port })
    }

    /// Accept no more, and tell peers to ask elsewhere; what is under way goes on.
    pub fn drain(&self) {
        self.drain.send_replace(true);
    }

    /// Connections that are open.
    pub fn open_connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// End everything at once.
    pub fn close(&self) {
        self.close.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn bind(runtime: &Runtime, place: &str) -> io::Result<Socket> {
    let _inside = runtime.enter();
    if let Some(path) = place.strip_prefix("unix:") {
        let listener = StdUnixListener::bind(Path::new(path))?;
        listener.set_nonblocking(true)?;
        return Ok(Socket::Unix(UnixListener::from_std(listener)?));
    }
    let address: SocketAddr =
        place.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not an address with a port"))?;
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(Socket::Tcp(socket.listen(BACKLOG)?))
}

/// A connection in the list of those that are open.
struct Member {
    line: Arc<Line>,
    leave: Arc<Notify>,
}

type Members = Arc<Mutex<BTreeMap<u64, Member>>>;

async fn accept(socket: Socket, parts: Parts, open: Arc<AtomicUsize>) {
    let members = Members::default();
    let mut draining = parts.listener.draining.clone();
    let mut number = 0;
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&socket) => accepted,
            _ = draining.wait_for(|drains| *drains) => break,
        };
        let Ok(stream) = accepted else {
            sleep(PAUSE).await;
            continue;
        };
        if !make_room(&members, parts.connections) {
            continue;
        }
        number += 1;
        let line = Arc::new(Line::default());
        let leave = Arc::new(Notify::new());
        let member = Member { line: Arc::clone(&line), leave: Arc::clone(&leave) };
        lock(&members).insert(number, member);
        open.fetch_add(1, Ordering::Relaxed);
        let membership = Membership { members: Arc::clone(&members), open: Arc::clone(&open), number };
        let (listener, tls) = (Arc::clone(&parts.listener), parts.tls.clone());
        tokio::spawn(async move {
            let _membership = membership;
            let connection = async {
                match stream {
                    Stream::Tcp(stream) => begin(stream, listener, tls, line).await,
                    Stream::Unix(stream) => begin(stream, listener, tls, line).await,
                }
            };
            tokio::select! {
                () = connection => {}
                () = leave.notified() => {}
            }
        });
    }
    drop(socket);
    std::future::pending::<()>().await;
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn accept_one(socket: &Socket) -> io::Result<Stream> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            Ok(Stream::Tcp(stream))
        }
        Socket::Unix(listener) => Ok(Stream::Unix(listener.accept().await?.0)),
    }
}

fn lock(members: &Members) -> std::sync::MutexGuard<'_, BTreeMap<u64, Member>> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When there are too many connections the oldest that never asked anything goes; where all ask, there is no room.
fn make_room(members: &Members, most: usize) -> bool {
    let mut members = lock(members);
    if members.len() < most {
        return true;
    }
    let silent = members.iter().find(|(_, member)| !member.line.has_asked()).map(|(number, _)| *number);
    let Some(member) = silent.and_then(|number| members.remove(&number)) else { return false };
    member.leave.notify_one();
    true
}

struct Membership {
    members: Members,
    open: Arc<AtomicUsize>,
    number: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        lock(&self.members).remove(&self.number);
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn begin<S>(stream: S, listener: Arc<Listener>, tls: Option<Arc<Tls>>, line: Arc<Line>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(tls) = tls else {
        return serve(stream, listener, line, true).await;
    };
    let handshake = async {
        look_at_certificates(&listener.queue).await;
        let current = Arc::clone(&tls.current.lock().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(current).accept(stream).await
    };
    let mut draining = listener.draining.clone();
    let finished = tokio::select! {
        finished = timeout(OPENING, handshake) => finished,
        _ = draining.wait_for(|drains| *drains) => return,
    };
    if let Ok(Ok(stream)) = finished {
        let client = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let welcome = !tls.named
            || match client {
                Some(certificate) => may_ask(&listener.queue, certificate).await,
                None => false,
            };
        serve(stream, listener, line, welcome).await;
    }
}

/// Python looks whether its files have changed, and sets what the handshake is to use.
async fn look_at_certificates(queue: &Arc<Queue>) {
    queue.ask(Asked::Certificates, Bytes::new(), None, Vec::new()).await;
}

/// Python looks at the names of a client certificate: a message is a yes, an empty one a no.
async fn may_ask(queue: &Arc<Queue>, certificate: &[u8]) -> bool {
    let certificate = Bytes::copy_from_slice(certificate);
    match queue.ask(Asked::Client, certificate, None, Vec::new()).await {
        Reply::Message(message) => message.len() > PREFIX,
        Reply::Status(..) => false,
    }
}
