//! The queue between the connections and Python: what is asked, what was given up, what is answered.
//!
//! One short lock guards all of it. The thread of the connections puts questions in and Python takes them out, a batch
//! at a time; answers come back a batch at a time and wake one task, which hands them to the calls that wait. Python is
//! told of new questions by one byte on a socket, written when the thread of the connections runs out of work or when
//! a batch is full, and not again before Python has taken everything.
//!
//! Nothing in here grows without bound. Past the bound in number or bytes the *oldest* waiting check becomes a refusal,
//! since of all callers its own is the likeliest to have given up. Refusals carry no payload, and when they pile up
//! connections are not read until Python has caught up. Messages that are not complete yet have a bound of their own,
//! and there, too, the oldest gives way.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;
use tokio::sync::Notify;

/// So many questions make a batch: Python is woken though there is more to read.
const BATCH: usize = 64;
/// Refusals that wait for Python; past it connections are not read.
const MOST_REFUSALS: usize = 8192;
/// Messages of which a part has come.
const MOST_RECEIVING: usize = 8192;
const KEY_BITS: u32 = 24;

/// Why a check is not handed over: Python makes the denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No message, several, one that is cut short, too large, compressed, or too slow in coming.
    Invalid = 0,
    /// Too many checks wait, or too much of them.
    Overloaded = 1,
    /// The deadline passed while it waited.
    Late = 2,
    /// The client has no name that may ask.
    Peer = 3,
}

/// What Python is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A check, to be decided.
    Check,
    /// A health check.
    Health,
    /// A denial of a check, for this cause.
    Refusal(Cause),
    /// Whether certificates have changed, before a handshake.
    Certificates,
    /// Whether the client whose certificate is the payload may ask.
    Client,
}

/// A name and a value of a request's metadata.
pub type Field = (String, String);

/// One question on its way to Python.
#[derive(Debug)]
pub struct Question {
    /// Names the call in `respond` and in what was given up.
    pub id: u64,
    /// What is asked.
    pub asked: Asked,
    /// The message, empty for refusals.
    pub payload: Bytes,
    /// When it was asked.
    pub came: Instant,
    /// When the caller gives up, where it said so.
    pub deadline: Option<Instant>,
    /// The metadata that Python wanted to see.
    pub metadata: Vec<Field>,
}

/// What a call is answered with.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// A message with its gRPC prefix, and status OK.
    Message(Bytes),
    /// A gRPC status without a message.
    Status(u8, &'static str),
}

/// Everything that Python takes at once.
#[derive(Debug, Default)]
pub struct Taken {
    /// Checks, oldest first.
    pub checks: Vec<Question>,
    /// Everything else.
    pub others: Vec<Question>,
    /// Calls that were taken before and are given up now.
    pub given_up: Vec<u64>,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Checks.
    pub checks: usize,
    /// Bytes of checks, and as many again of messages that are not complete.
    pub bytes: usize,
}

struct Slot {
    serial: u64,
    taken: bool,
    reply: Option<Reply>,
    waker: Option<Waker>,
}

struct Receiving {
    bytes: usize,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Inner {
    serial: u64,
    calls: Slab<Slot>,
    checks: VecDeque<Question>,
    check_bytes: usize,
    others: VecDeque<Question>,
    given_up: Vec<u64>,
    receiving: BTreeMap<u64, Receiving>,
    receiving_bytes: usize,
    answers: Vec<(u64, Reply)>,
    gated: Vec<Waker>,
    signalled: bool,
}

/// The queue. See the top of the module.
pub struct Queue {
    inner: Mutex<Inner>,
    bounds: Bounds,
    gate_closed: AtomicBool,
    answered: Notify,
    signal: UnixStream,
    signalled: UnixStream,
}

impl Queue {
    /// An empty queue.
    ///
    /// # Errors
    /// When no pair of sockets is to be had.
    pub fn new(bounds: Bounds) -> std::io::Result<Self> {
        let (signal, signalled) = UnixStream::pair()?;
        signal.set_nonblocking(true)?;
        signalled.set_nonblocking(true)?;
        Ok(Self {
            inner: Mutex::default(),
            bounds,
            gate_closed: AtomicBool::new(false),
            answered: Notify::new(),
            signal,
            signalled,
        })
    }

    /// The file descriptor that becomes readable when there is something to take.
    pub fn fileno(&self) -> RawFd {
        self.signalled.as_raw_fd()
    }

    // Nothing in a locked section leaves the state half changed, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ask Python. The ticket becomes the reply; to drop it is to give the call up.
    pub fn ask(
        self: &Arc<Self>,
        asked: Asked,
        payload: Bytes,
        deadline: Option<Instant>,
        metadata: Vec<Field>,
    ) -> Ticket {
        let mut inner = self.lock();
        let id = inner.open_call();
        let question = Question { id, asked, payload, came: Instant::now(), deadline, metadata };
        if asked == Asked::Check {
            inner.check_bytes += question.payload.len();
            inner.checks.push_back(question);
            while inner.checks.len() > self.bounds.checks
                || (inner.check_bytes > self.bounds.bytes && inner.checks.len() > 1)
            {
                inner.refuse_the_oldest();
            }
        } else {
            inner.others.push_back(question);
        }
        if inner.others.len() >= MOST_REFUSALS {
            self.gate_closed.store(true, Ordering::Relaxed);
        }
        if inner.checks.len() + inner.others.len() >= BATCH {
            self.signal_python(&mut inner);
        }
        drop(inner);
        Ticket { queue: Arc::clone(self), id }
    }

    /// Tell Python, if there is something to tell. Called when the thread of the connections has nothing to do.
    pub fn flush(&self) {
        let mut inner = self.lock();
        if !(inner.checks.is_empty() && inner.others.is_empty() && inner.given_up.is_empty()) {
            self.signal_python(&mut inner);
        }
    }

    fn signal_python(&self, inner: &mut Inner) {
        if !inner.signalled {
            // A full socket is a signal as well.
            let _ = (&self.signal).write(&[1]);
            inner.signalled = true;
        }
    }

    /// At most `most` checks, and everything else that Python is to know. Never a check that was given up, and one
    /// whose deadline has passed only as a refusal.
    pub fn take(&self, most: usize, now: Instant) -> Taken {
        let mut inner = self.lock();
        let mut taken = Taken { given_up: std::mem::take(&mut inner.given_up), ..Taken::default() };
        while taken.checks.len() < most {
            let Some(mut question) = inner.checks.pop_front() else {
                break;
            };
            inner.check_bytes -= question.payload.len();
            if !inner.mark_taken(question.id) {
                continue;
            }
            if question.deadline.is_some_and(|deadline| deadline <= now) {
                question.asked = Asked::Refusal(Cause::Late);
                question.payload = Bytes::new();
                taken.others.push(question);
            } else {
                taken.checks.push(question);
            }
        }
        while let Some(question) = inner.others.pop_front() {
            if inner.mark_taken(question.id) {
                taken.others.push(question);
            }
        }
        if inner.checks.is_empty() && inner.signalled {
            let _ = (&self.signalled).read(&mut [0; 8]);
            inner.signalled = false;
        }
        drop(inner);
        if self.gate_closed.swap(false, Ordering::Relaxed) {
            self.answered.notify_one();
        }
        taken
    }

    /// Answer, a batch at a time. Calls that were given up are passed over.
    pub fn respond(&self, answers: impl IntoIterator<Item = (u64, Reply)>) {
        self.lock().answers.extend(answers);
        self.answered.notify_one();
    }

    /// Hand answers to the calls that wait for them, for ever. One task of the thread of the connections does this.
    pub async fn distribute(&self) {
        loop {
            self.answered.notified().await;
            self.hand_out();
        }
    }

    fn hand_out(&self) {
        let mut wakers = Vec::new();
        let mut inner = self.lock();
        for (id, reply) in std::mem::take(&mut inner.answers) {
            if let Some(slot) = inner.slot(id) {
                slot.reply = Some(reply);
                wakers.extend(slot.waker.take());
            }
        }
        wakers.append(&mut inner.gated);
        drop(inner);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Ready unless so many refusals wait that nothing more is to be read.
    pub fn poll_gate(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.gate_closed.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        let mut inner = self.lock();
        if !self.gate_closed.load(Ordering::Relaxed) {
            return Poll::Ready(());
        }
        inner.gated.push(cx.waker().clone());
        Poll::Pending
    }

    /// Calls that are open, whether Python knows of them or not.
    pub fn open_calls(&self) -> usize {
        self.lock().calls.len()
    }

    /// A place for a message of which `bytes` have come and more is awaited.
    pub fn receive(self: &Arc<Self>, bytes: usize) -> Place {
        let mut inner = self.lock();
        inner.serial += 1;
        let serial = inner.serial;
        inner.receiving.insert(serial, Receiving { bytes: 0, waker: None });
        drop(inner);
        let place = Place { queue: Arc::clone(self), serial };
        place.grow(bytes);
        place
    }
}

impl Inner {
    fn open_call(&mut self) -> u64 {
        self.serial += 1;
        let serial = self.serial;
        let key = self.calls.insert(Slot { serial, taken: false, reply: None, waker: None });
        (serial << KEY_BITS) | key as u64
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        let key = usize::try_from(id & ((1 << KEY_BITS) - 1)).ok()?;
        self.calls.get_mut(key).filter(|slot| slot.serial == id >> KEY_BITS)
    }

    fn mark_taken(&mut self, id: u64) -> bool {
        self.slot(id).map(|slot| slot.taken = true).is_some()
    }

    fn refuse_the_oldest(&mut self) {
        if let Some(mut oldest) = self.checks.pop_front() {
            self.check_bytes -= oldest.payload.len();
            if self.slot(oldest.id).is_some() {
                oldest.asked = Asked::Refusal(Cause::Overloaded);
                oldest.payload = Bytes::new();
                self.others.push_back(oldest);
            }
        }
    }

    /// A check that was given up makes room at once: a flood of calls that are taken back must not push out others.
    fn forget(&mut self, id: u64) {
        // In the order in which they came, and so of their ids.
        if let Ok(place) = self.checks.binary_search_by_key(&id, |check| check.id) {
            if let Some(check) = self.checks.remove(place) {
                self.check_bytes -= check.payload.len();
            }
        }
    }

    fn close_call(&mut self, id: u64) -> Option<Slot> {
        self.slot(id)?;
        let key = usize::try_from(id & ((1 << KEY_BITS) - 1)).ok()?;
        self.calls.try_remove(key)
    }
}

/// A call that waits for its reply.
pub struct Ticket {
    queue: Arc<Queue>,
    id: u64,
}

impl Future for Ticket {
    type Output = Reply;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let mut inner = self.queue.lock();
        let Some(slot) = inner.slot(self.id) else {
            return Poll::Pending;
        };
        if slot.reply.is_none() {
            slot.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        match inner.close_call(self.id).and_then(|slot| slot.reply) {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        match inner.close_call(self.id) {
            Some(slot) if !slot.taken => inner.forget(self.id),
            Some(slot) if slot.reply.is_none() => inner.given_up.push(self.id),
            _ => {}
        }
    }
}

/// The place of a message that is not complete. It can be lost to younger ones.
pub struct Place {
    queue: Arc<Queue>,
    serial: u64,
}

impl Place {
    /// More bytes have come.
    pub fn grow(&self, bytes: usize) {
        let mut inner = self.queue.lock();
        if let Some(mine) = inner.receiving.get_mut(&self.serial) {
            mine.bytes += bytes;
            inner.receiving_bytes += bytes;
        }
        let mut wakers = Vec::new();
        while inner.receiving.len() > MOST_RECEIVING
            || (inner.receiving_bytes > self.queue.bounds.bytes && inner.receiving.len() > 1)
        {
            let Some((_, oldest)) = inner.receiving.pop_first() else {
                break;
            };
            inner.receiving_bytes -= oldest.bytes;
            wakers.extend(oldest.waker);
        }
        drop(inner);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Ready when the place is lost.
    pub fn poll_lost(&self, cx: &Context<'_>) -> Poll<()> {
        match self.queue.lock().receiving.get_mut(&self.serial) {
            Some(mine) => {
                mine.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        if let Some(mine) = inner.receiving.remove(&self.serial) {
            inner.receiving_bytes -= mine.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;
    use std::time::Duration;

    fn queue(checks: usize, bytes: usize) -> Arc<Queue> {
        Arc::new(Queue::new(Bounds { checks, bytes }).expect("sockets"))
    }

    fn ask(queue: &Arc<Queue>, payload: &'static [u8]) -> Ticket {
        queue.ask(Asked::Check, Bytes::from_static(payload), None, Vec::new())
    }

    fn payloads(taken: &Taken) -> Vec<&[u8]> {
        taken.checks.iter().map(|check| check.payload.as_ref()).collect()
    }

    fn refusals(taken: &Taken) -> Vec<Asked> {
        taken.others.iter().map(|other| other.asked).collect()
    }

    fn poll(ticket: &mut Ticket) -> Poll<Reply> {
        Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn is_readable(queue: &Queue) -> bool {
        let mut byte = [0];
        (&queue.signalled).read(&mut byte).is_ok()
    }

    #[test]
    fn checks_are_taken_in_order_and_answered_by_their_ids() {
        let queue = queue(10, 1000);
        let mut tickets = [ask(&queue, b"a"), ask(&queue, b"b"), ask(&queue, b"c")];
        let first = queue.take(2, Instant::now());
        assert_eq!(payloads(&first), [b"a", b"b"]);
        assert_eq!(payloads(&queue.take(2, Instant::now())), [b"c"]);
        let id = first.checks[1].id;
        queue.respond([(id, Reply::Status(0, "b"))]);
        queue.hand_out();
        assert_eq!(poll(&mut tickets[0]), Poll::Pending);
        assert_eq!(poll(&mut tickets[1]), Poll::Ready(Reply::Status(0, "b")));
        assert_eq!(queue.open_calls(), 2);
    }

    #[test]
    fn a_check_given_up_before_it_was_taken_is_never_handed_over() {
        let queue = queue(10, 1000);
        let (given_up, _kept) = (ask(&queue, b"a"), ask(&queue, b"b"));
        drop(given_up);
        let taken = queue.take(10, Instant::now());
        assert_eq!(payloads(&taken), [b"b"]);
        assert!(taken.given_up.is_empty(), "nobody knew of it");
    }

    #[test]
    fn a_check_given_up_after_it_was_taken_is_told_once_and_its_answer_passed_over() {
        let queue = queue(10, 1000);
        let ticket = ask(&queue, b"a");
        let id = queue.take(10, Instant::now()).checks[0].id;
        drop(ticket);
        let _next = ask(&queue, b"b"); // in the same place
        queue.respond([(id, Reply::Status(0, "late"))]);
        queue.hand_out();
        assert_eq!(queue.take(10, Instant::now()).given_up, [id]);
        assert!(queue.take(10, Instant::now()).given_up.is_empty());
        assert_eq!(queue.open_calls(), 1);
    }

    #[test]
    fn an_answered_check_is_not_given_up() {
        let queue = queue(10, 1000);
        let mut ticket = ask(&queue, b"a");
        let id = queue.take(10, Instant::now()).checks[0].id;
        queue.respond([(id, Reply::Status(0, ""))]);
        queue.hand_out();
        assert!(poll(&mut ticket).is_ready());
        drop(ticket);
        assert!(queue.take(10, Instant::now()).given_up.is_empty());
    }

    #[test]
    fn a_check_whose_deadline_passed_is_handed_over_as_a_refusal() {
        let queue = queue(10, 1000);
        let now = Instant::now();
        let soon = now.checked_add(Duration::from_millis(5));
        let _tickets = [now, now + Duration::from_secs(1)]
            .map(|deadline| queue.ask(Asked::Check, Bytes::from_static(b"x"), Some(deadline), Vec::new()));
        let taken = queue.take(10, soon.expect("a moment"));
        assert_eq!(taken.checks.len(), 1);
        assert_eq!(refusals(&taken), [Asked::Refusal(Cause::Late)]);
        assert!(taken.others[0].payload.is_empty());
    }

    #[test]
    fn past_the_bound_in_number_the_oldest_are_refused() {
        let queue = queue(2, 1000);
        let _tickets = [b"a", b"b", b"c", b"d"].map(|payload| ask(&queue, payload));
        let taken = queue.take(10, Instant::now());
        assert_eq!(payloads(&taken), [b"c", b"d"]);
        assert_eq!(refusals(&taken), [Asked::Refusal(Cause::Overloaded); 2]);
    }

    #[test]
    fn checks_that_were_given_up_push_out_nobody() {
        let queue = queue(2, 10);
        let _patient = ask(&queue, b"patient");
        for _ in 0..100 {
            drop(ask(&queue, b"abc"));
        }
        let taken = queue.take(10, Instant::now());
        assert_eq!(payloads(&taken), [b"patient"]);
        assert!(taken.others.is_empty());
        assert_eq!(queue.lock().check_bytes, 0);
    }

    #[test]
    fn past_the_bound_in_bytes_the_oldest_are_refused_but_never_the_only_one() {
        let queue = queue(10, 5);
        let _tickets = [ask(&queue, b"aaa"), ask(&queue, b"bbb")];
        assert_eq!(payloads(&queue.take(10, Instant::now())), [b"bbb"]);
        let _large = ask(&queue, b"more than five");
        assert_eq!(payloads(&queue.take(10, Instant::now())), [b"more than five"]);
    }

    #[test]
    fn python_is_told_once_until_it_has_taken_everything() {
        let queue = queue(10, 1000);
        queue.flush();
        assert!(!is_readable(&queue), "there is nothing to tell");
        let _tickets = [ask(&queue, b"a"), ask(&queue, b"b")];
        assert!(!is_readable(&queue), "the thread still has work to do");
        queue.flush();
        queue.flush();
        queue.take(1, Instant::now());
        assert!(is_readable(&queue), "there is more to take");
        assert!(!is_readable(&queue), "a single byte");
        queue.take(1, Instant::now());
        let _third = ask(&queue, b"c");
        queue.flush();
        assert!(is_readable(&queue));
    }

    #[test]
    fn a_full_batch_is_told_at_once() {
        let queue = queue(1000, 1000);
        let _tickets: Vec<_> = (0..BATCH).map(|_| ask(&queue, b"x")).collect();
        assert!(is_readable(&queue));
    }

    #[test]
    fn when_refusals_pile_up_nothing_is_read_until_python_took_them() {
        let queue = queue(10, 1000);
        let cx = Context::from_waker(Waker::noop());
        let refuse = || queue.ask(Asked::Refusal(Cause::Invalid), Bytes::new(), None, Vec::new());
        let _tickets: Vec<_> = (0..MOST_REFUSALS).map(|_| refuse()).collect();
        assert!(queue.poll_gate(&cx).is_pending());
        assert_eq!(queue.take(10, Instant::now()).others.len(), MOST_REFUSALS);
        assert!(queue.poll_gate(&cx).is_ready());
    }

    #[test]
    fn of_messages_that_are_not_complete_the_oldest_give_way_to_the_younger() {
        let queue = queue(10, 100);
        let cx = Context::from_waker(Waker::noop());
        let (first, second) = (queue.receive(60), queue.receive(30));
        assert!(first.poll_lost(&cx).is_pending());
        second.grow(20);
        assert!(first.poll_lost(&cx).is_ready());
        assert!(second.poll_lost(&cx).is_pending());
        second.grow(1000);
        assert!(second.poll_lost(&cx).is_pending(), "the only one stays");
        drop((first, second));
        assert_eq!(queue.lock().receiving_bytes, 0);
    }
}
