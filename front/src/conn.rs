//! One connection: HTTP/2 by hyper, and what each call on it is asked and answered.
//!
//! Bounds that a peer meets here: a time for the preface, pings that must be answered, streams at once, the size of
//! header blocks (which bounds CONTINUATION frames), resets, and a time in which a message has to be complete.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use crate::message::{Assembler, is_plain_grpc, timeout};
use crate::queue::{Asked, Cause, Field, Place, Queue, Reply};

/// In which a handshake, and then the preface of HTTP/2, has to come.
pub const OPENING: Duration = Duration::from_secs(10);
/// After so long without a sign of life a peer is pinged, and has as long again to answer.
const PING_AFTER: Duration = Duration::from_secs(20);
/// In which a message has to be complete: ten times what Envoy waits by default, and more.
const RECEIVE: Duration = Duration::from_secs(5);
/// As many calls as Envoy has under way with one cluster by default. To reset as many at once is no attack: that is
/// what Envoy does after a stall.
const STREAMS: u32 = 1024;
/// More than Envoy takes from its own clients, whose headers may be copied into metadata: hyper answers what is larger
/// with an error, which is no denial.
const HEADER_BYTES: u32 = 128 << 10;
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// What is read of a connection before others get their turn: some hundred calls.
const TURN: usize = 64 << 10;

const OK: u8 = 0;
const CANCELLED: u8 = 1;
const PERMISSION_DENIED: u8 = 7;
const UNIMPLEMENTED: u8 = 12;

/// What all connections of a listener share.
pub struct Listener {
    /// Where questions go.
    pub queue: Arc<Queue>,
    /// The path of checks.
    pub check_path: String,
    /// The path of health checks.
    pub health_path: String,
    /// Bytes of a message.
    pub message_limit: usize,
    /// Metadata that Python wants to see, in lower case.
    pub metadata: Vec<String>,
    /// Turns true when the listener stops.
    pub draining: watch::Receiver<bool>,
}

/// Whether anything was asked on a connection.
#[derive(Default)]
pub struct Line(AtomicBool);

impl Line {
    /// Whether anything was asked.
    pub fn has_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Serve a connection until it ends. A client that is not `welcome` gets denials only.
pub async fn serve<S>(stream: S, listener: Arc<Listener>, line: Arc<Line>, welcome: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened = Arc::new(AtomicBool::new(false));
    let watched = Watched { stream, queue: Arc::clone(&listener.queue), opened: Arc::clone(&opened), read: 0, turn: 0 };
    let mut draining = listener.draining.clone();
    let service = service_fn(move |request| {
        line.0.store(true, Ordering::Relaxed);
        answer(request, Arc::clone(&listener), welcome)
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(STREAMS as usize)
        .max_header_list_size(HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_AFTER)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(watched), service);
    let mut connection = pin!(connection);
    let mut opening = pin!(sleep(OPENING));
    let (mut waits_for_preface, mut stays) = (true, true);
    loop {
        tokio::select! {
            _ = &mut connection => return,
            () = &mut opening, if waits_for_preface => {
                if !opened.load(Ordering::Relaxed) {
                    return;
                }
                waits_for_preface = false;
            }
            _ = draining.wait_for(|drains| *drains), if stays => {
                if !opened.load(Ordering::Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                stays = false;
            }
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    listener: Arc<Listener>,
    welcome: bool,
) -> Result<Response<Answer>, Infallible> {
    let (head, body) = request.into_parts();
    if head.method == Method::CONNECT {
        return Ok(method_not_allowed());
    }
    let asked = match head.uri.path() {
        path if path == listener.check_path => Asked::Check,
        path if path == listener.health_path => Asked::Health,
        _ => return Ok(status(UNIMPLEMENTED, "unknown method")),
    };
    let deadline = timeout(&head.headers).and_then(|wait| Instant::now().checked_add(wait));
    let metadata = wanted(&listener.metadata, &head.headers);
    let message = if !welcome {
        Err(Cause::Peer)
    } else if !is_plain_grpc(&head.headers) {
        Err(Cause::Invalid)
    } else {
        match read(body, &listener).await {
            Ok(message) => message,
            Err(Gone) => return Ok(status(CANCELLED, "the call was given up")),
        }
    };
    let ticket = match (message, asked) {
        (Ok(payload), _) => listener.queue.ask(asked, payload, deadline, metadata),
        (Err(Cause::Peer), Asked::Health) => return Ok(status(PERMISSION_DENIED, "not an allowed client")),
        // What is no message is no service's name either, and Python says so.
        (Err(_), Asked::Health) => listener.queue.ask(asked, Bytes::from_static(b"\xff"), deadline, metadata),
        (Err(cause), _) => listener.queue.ask(Asked::Refusal(cause), Bytes::new(), deadline, metadata),
    };
    Ok(match ticket.await {
        Reply::Message(message) => response(Answer { message: Some(message), trailers: Some(OK) }),
        Reply::Status(code, text) => status(code, text),
    })
}

fn wanted(names: &[String], headers: &HeaderMap) -> Vec<Field> {
    let mut fields = Vec::new();
    for name in names {
        for value in headers.get_all(name) {
            if let Ok(value) = value.to_str() {
                fields.push((name.clone(), value.to_owned()));
            }
        }
    }
    fields
}

/// The call ended before its message had come.
struct Gone;

async fn read(body: Incoming, listener: &Listener) -> Result<Result<Bytes, Cause>, Gone> {
    let mut assembler = Assembler::new(listener.message_limit);
    let mut body = pin!(body);
    let mut slow: Option<Slow> = None;
    loop {
        let next = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Next::Frame(frame)),
            Poll::Pending => {
                let slow = slow.get_or_insert_with(|| Slow::new(&listener.queue, assembler.len()));
                slow.poll(cx).map(Next::TooSlow)
            }
        });
        match next.await {
            Next::TooSlow(cause) => return Ok(Err(cause)),
            Next::Frame(None) => return Ok(assembler.finish()),
            Next::Frame(Some(Err(_))) => return Err(Gone),
            Next::Frame(Some(Ok(frame))) => {
                // Trailers of a request mean nothing in gRPC.
                let Ok(data) = frame.into_data() else { continue };
                if let Some(slow) = &slow {
                    slow.place.grow(data.len());
                }
                if let Err(cause) = assembler.push(data) {
                    return Ok(Err(cause));
                }
            }
        }
    }
}

enum Next {
    Frame(Option<Result<Frame<Bytes>, hyper::Error>>),
    TooSlow(Cause),
}

/// What only a message needs that does not come in one go: a place among those, and a time.
struct Slow {
    place: Place,
    end: Pin<Box<Sleep>>,
}

impl Slow {
    fn new(queue: &Arc<Queue>, bytes: usize) -> Self {
        Self { place: queue.receive(bytes), end: Box::pin(sleep(RECEIVE)) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        if self.place.poll_lost(cx).is_ready() {
            return Poll::Ready(Cause::Overloaded);
        }
        ready!(self.end.as_mut().poll(cx));
        Poll::Ready(Cause::Invalid)
    }
}

/// A response's body: a message and a status behind it, or nothing.
pub struct Answer {
    message: Option<Bytes>,
    trailers: Option<u8>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        Poll::Ready(self.trailers.take().map(|code| {
            let mut trailers = HeaderMap::with_capacity(1);
            trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
            Ok(Frame::trailers(trailers))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}

fn response(answer: Answer) -> Response<Answer> {
    let mut response = Response::new(answer);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn status(code: u8, text: &'static str) -> Response<Answer> {
    let mut response = response(Answer { message: None, trailers: None });
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    headers.insert("grpc-message", HeaderValue::from_static(text));
    response
}

fn method_not_allowed() -> Response<Answer> {
    let mut response = Response::new(Answer { message: None, trailers: None });
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// The stream below HTTP/2: read only while Python keeps up, and so much at a time that a flood on one connection does
/// not hold up the others. It is known whether a whole preface has come.
struct Watched<S> {
    stream: S,
    queue: Arc<Queue>,
    opened: Arc<AtomicBool>,
    read: usize,
    /// Bytes read since this connection last gave way.
    turn: usize,
}

const PREFACE_AND_FIRST_FRAME: usize = 24 + 9;

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.queue.poll_gate(cx));
        if self.turn >= TURN {
            self.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buffer) else {
            self.turn = 0;
            return Poll::Pending;
        };
        result?;
        let read = buffer.filled().len() - before;
        self.turn += read;
        if self.read < PREFACE_AND_FIRST_FRAME {
            self.read += read;
            if self.read >= PREFACE_AND_FIRST_FRAME {
                self.opened.store(true, Ordering::Relaxed);
            }
        }
        Poll::Ready(Ok(()))
    }
}

// Not vectored on purpose: then h2 gathers answers of up to a kilobyte in one buffer and writes them at once.
impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
