//! One connection: requests in, responses out, one after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use pinhole_rates::{Excess, Sources};

use crate::request::{HEAD_MAX, Head, Malformed, Method, parse};
use crate::response::{Denied, Response, Status};
use crate::server::{ConnectionId, Settings};

/// Bytes that are thrown away after the last response, at most.
const THROWN_MAX: usize = 1 << 20;

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId {
    /// The connection that it came by.
    pub connection: ConnectionId,
    number: u32,
}

/// What the server wants done, or reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A phone asks for a file. [`Server::answer`](crate::Server::answer) is called soon.
    Requested {
        /// What waits for the answer.
        request: RequestId,
        /// Who asks.
        client: SocketAddr,
        /// The name as it was sent.
        name: Vec<u8>,
    },
    /// A file was handed over to its last byte. How that ended comes as [`Output::Ended`].
    Sent {
        /// Which.
        request: RequestId,
    },
    /// A request has ended; each that was [`Output::Requested`] does once.
    Ended {
        /// Which.
        request: RequestId,
        /// How.
        end: End,
    },
    /// A request or connection was refused.
    Refused {
        /// Whose.
        client: SocketAddr,
        /// Why.
        why: Refusal,
    },
    /// Nothing more is sent on a connection: the peer is to be told.
    Shut {
        /// Which.
        connection: ConnectionId,
    },
    /// A connection is over.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The phone has read the file to its end: after that it asked the next request, or closed.
    Acknowledged,
    /// All was sent, and nothing says that the phone has read it.
    AllSent,
    /// The phone stopped reading, or went away before all was sent.
    Silent,
    /// Only what would be said of the file was asked for.
    Described,
    /// It was answered with an error.
    Denied,
    /// It was not answered in time.
    Unanswered,
}

/// Why a request or a connection was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request.
    Malformed(Malformed),
    /// An upload, of a file of this name.
    Upload {
        /// The name.
        name: Vec<u8>,
    },
    /// A method other than GET and HEAD.
    Method,
    /// The address asks too often.
    SourceRate,
    /// All together ask too often.
    Rate,
    /// The address has too many connections.
    SourceConnections,
    /// There are too many connections.
    Connections,
    /// There are too many addresses.
    Sources,
    /// A request did not come to its end in time.
    Slow,
}

impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Self {
        match excess {
            Excess::Source => Self::SourceRate,
            Excess::All => Self::Rate,
            Excess::Sources => Self::Sources,
        }
    }
}

/// What a connection needs to take its turn.
pub(crate) struct Turn<'a> {
    pub settings: &'a Settings,
    pub sources: &'a mut Sources,
    pub now: Instant,
    pub out: &'a mut Vec<Output>,
}

#[derive(Debug)]
pub(crate) struct Connection {
    id: ConnectionId,
    pub client: SocketAddr,
    /// When [`Connection::timed_out`] is to be called.
    pub due: Instant,
    /// What has come and belongs to no request yet.
    input: Vec<u8>,
    /// Up to where that was looked through.
    searched: usize,
    /// A request has begun to come.
    is_under_way: bool,
    /// The peer sends nothing more.
    has_ended: bool,
    /// Requests so far.
    asked: u32,
    /// Nothing more is sent before it is due: the rate of bytes is used up.
    is_held: bool,
    /// The first request was counted when the connection was accepted.
    is_paid: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A request is awaited. `read`: whether the phone has read that request's file shows now.
    Asking { read: Option<u32> },
    /// A request waits for its file.
    Waiting { number: u32, head: Head },
    /// A response is being sent.
    Sending(Response),
    /// All was sent. What still comes is thrown away: closing at once would make the peer's system throw away the response.
    Lingering { read: Option<u32>, thrown: usize },
    /// It is over.
    Over,
}

impl Connection {
    pub fn new(id: ConnectionId, client: SocketAddr, is_paid: bool, due: Instant) -> Self {
        Self {
            id,
            client,
            due,
            input: Vec::new(),
            searched: 0,
            is_under_way: false,
            has_ended: false,
            asked: 0,
            is_held: false,
            is_paid,
            state: State::Asking { read: None },
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether it gives way to a new one: nobody is being served.
    pub fn gives_way(&self) -> bool {
        matches!(self.state, State::Asking { .. })
    }

    /// How many bytes it takes now.
    pub fn room(&self) -> usize {
        match self.state {
            State::Over => 0,
            _ if self.has_ended => 0,
            State::Lingering { .. } => HEAD_MAX,
            _ => HEAD_MAX.saturating_sub(self.input.len()),
        }
    }

    pub fn to_send(&self) -> &[u8] {
        match &self.state {
            State::Sending(response) if !self.is_held => response.rest(),
            _ => &[],
        }
    }

    pub fn received(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        if let State::Lingering { thrown, .. } = &mut self.state {
            *thrown += bytes.len();
            if *thrown > THROWN_MAX {
                self.over(turn);
            }
            return;
        }
        self.input.extend_from_slice(bytes);
        self.go_on(turn);
    }

    /// The peer sends nothing more. What it has asked for is answered: it may still read.
    pub fn peer_ended(&mut self, turn: &mut Turn<'_>) {
        self.has_ended = true;
        match &mut self.state {
            State::Asking { read } | State::Lingering { read, .. } => {
                let read = read.take();
                self.ended(read, End::Acknowledged, turn);
                self.over(turn);
            }
            State::Waiting { .. } | State::Sending(_) | State::Over => {}
        }
    }

    /// The connection is broken.
    pub fn lost(&mut self, turn: &mut Turn<'_>) {
        self.over(turn);
    }

    pub fn answered(&mut self, request: RequestId, answer: Result<Arc<[u8]>, Denied>, turn: &mut Turn<'_>) {
        let State::Waiting { number, head } = &self.state else { return };
        if *number != request.number {
            return;
        }
        let (number, keeps_alive) = (*number, self.keeps_alive(head));
        let until = turn.now + turn.settings.stall;
        let (end, response) = match answer {
            Ok(file) if head.method == Method::Head => {
                let response = Response::described(&head.name, file.len(), keeps_alive, until);
                (Some(End::Described), response)
            }
            Ok(file) => (None, Response::file(number, &head.name, file, keeps_alive, until)),
            Err(denied) => {
                let status = match denied {
                    Denied::NotFound => Status::NotFound,
                    Denied::Unavailable => Status::Unavailable,
                };
                (Some(End::Denied), Response::bare(status, 0, "", keeps_alive, until))
            }
        };
        if let Some(end) = end {
            self.ended(Some(number), end, turn);
        }
        self.send(response, turn);
    }

    /// So many bytes of [`Connection::to_send`] were handed over.
    pub fn sent(&mut self, count: usize, turn: &mut Turn<'_>) {
        let State::Sending(response) = &mut self.state else { return };
        response.sent(count);
        let wait = turn.sources.owe(self.client.ip(), count, turn.now);
        if !response.rest().is_empty() {
            self.is_held = !wait.is_zero();
            if self.is_held {
                // That is not the phone's doing.
                response.until += wait;
                self.due = turn.now + wait;
            } else {
                self.due = response.until.min(turn.now + turn.settings.stall);
            }
            return;
        }
        let (number, keeps_alive) = (response.number.take(), response.keeps_alive);
        if let Some(number) = number {
            turn.out.push(Output::Sent { request: self.request(number) });
        }
        self.skip_empty_lines();
        // What was asked before all was sent proves nothing, and who sends no more cannot show it either.
        let mut read = number;
        if self.has_ended || !self.input.is_empty() {
            self.ended(read.take(), End::AllSent, turn);
        }
        if keeps_alive && !(self.has_ended && self.input.is_empty()) {
            self.state = State::Asking { read };
            self.due = turn.now + turn.settings.idle;
            self.go_on(turn);
        } else if self.has_ended {
            self.over(turn);
        } else {
            turn.out.push(Output::Shut { connection: self.id });
            self.state = State::Lingering { read, thrown: 0 };
            self.due = turn.now + turn.settings.linger;
            self.input = Vec::new();
        }
    }

    /// It is due.
    pub fn timed_out(&mut self, turn: &mut Turn<'_>) {
        match &self.state {
            State::Asking { .. } if self.is_under_way => {
                turn.out.push(Output::Refused { client: self.client, why: Refusal::Slow });
                self.over(turn);
            }
            State::Waiting { number, .. } => {
                let number = *number;
                self.ended(Some(number), End::Unanswered, turn);
                let until = turn.now + turn.settings.stall;
                self.send(Response::bare(Status::Unavailable, 0, "", false, until), turn);
            }
            State::Sending(response) if self.is_held => {
                self.is_held = false;
                self.due = response.until.min(turn.now + turn.settings.stall);
            }
            _ => self.over(turn),
        }
    }

    /// Takes the next request out of what has come.
    fn go_on(&mut self, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::Asking { .. }) {
            return;
        }
        self.skip_empty_lines();
        if !self.input.is_empty() {
            if let State::Asking { read } = &mut self.state {
                let read = read.take();
                self.ended(read, End::Acknowledged, turn);
            }
            if !self.is_under_way {
                self.is_under_way = true;
                // The first has had its time since the connection was accepted.
                if self.asked > 0 {
                    self.due = turn.now + turn.settings.head;
                }
            }
        }
        let is_new = |input: &[u8]| input.contains(&b'\n') || self.input.len() >= HEAD_MAX;
        // Only a line's end can make a request whole: whoever sends single bytes costs no more than others.
        let parsed = match self.input.get(self.searched..) {
            Some(rest) if is_new(rest) => parse(&self.input),
            _ => Ok(None),
        };
        self.searched = self.input.len();
        match parsed {
            Ok(Some((head, len))) => {
                self.input.drain(..len);
                (self.searched, self.is_under_way) = (0, false);
                self.ask(head, turn);
            }
            Ok(None) if self.has_ended => self.over(turn),
            Ok(None) => {}
            Err(malformed) => {
                // It counts as a request: who sends nothing but rubbish is not answered for ever.
                match self.admit(turn) {
                    Ok(()) => self.refuse(malformed.into(), Refusal::Malformed(malformed), turn),
                    Err(excess) => self.refuse(Status::TooManyRequests, excess.into(), turn),
                }
            }
        }
    }

    fn ask(&mut self, head: Head, turn: &mut Turn<'_>) {
        self.asked += 1;
        if let Err(excess) = self.admit(turn) {
            return self.refuse(Status::TooManyRequests, excess.into(), turn);
        }
        match head.method {
            Method::Get | Method::Head if head.has_content => {
                self.refuse(Status::BadRequest, Refusal::Malformed(Malformed::Content), turn);
            }
            Method::Get | Method::Head => {
                let (request, name) = (self.request(self.asked), head.name.clone());
                self.state = State::Waiting { number: self.asked, head };
                self.due = turn.now + turn.settings.answer;
                turn.out.push(Output::Requested { request, client: self.client, name });
            }
            Method::Upload => {
                self.refuse(Status::MethodNotAllowed, Refusal::Upload { name: head.name }, turn);
            }
            Method::Other => self.refuse(Status::MethodNotAllowed, Refusal::Method, turn),
        }
    }

    fn admit(&mut self, turn: &mut Turn<'_>) -> Result<(), Excess> {
        if std::mem::take(&mut self.is_paid) {
            return Ok(());
        }
        turn.sources.admit(self.client.ip(), turn.now)
    }

    /// Answers with an error, and ends the connection after that.
    fn refuse(&mut self, status: Status, why: Refusal, turn: &mut Turn<'_>) {
        turn.out.push(Output::Refused { client: self.client, why });
        self.send(Response::bare(status, 0, "", false, turn.now + turn.settings.stall), turn);
    }

    fn send(&mut self, response: Response, turn: &Turn<'_>) {
        self.due = response.until.min(turn.now + turn.settings.stall);
        self.state = State::Sending(response);
    }

    fn keeps_alive(&self, head: &Head) -> bool {
        head.keeps_alive && self.asked < crate::server::REQUESTS_MAX
    }

    /// Nothing more is done. What is not told yet, is told.
    pub fn over(&mut self, turn: &mut Turn<'_>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Asking { read } | State::Lingering { read, .. } => self.ended(read, End::AllSent, turn),
            State::Waiting { number, .. } => self.ended(Some(number), End::Silent, turn),
            State::Sending(response) => self.ended(response.number, End::Silent, turn),
            State::Over => return,
        }
        turn.out.push(Output::Close { connection: self.id });
    }

    fn ended(&self, number: Option<u32>, end: End, turn: &mut Turn<'_>) {
        if let Some(number) = number {
            turn.out.push(Output::Ended { request: self.request(number), end });
        }
    }

    fn request(&self, number: u32) -> RequestId {
        RequestId { connection: self.id, number }
    }

    /// Some clients send an empty line after a request (RFC 9112 section 2.2).
    fn skip_empty_lines(&mut self) {
        let empty = self.input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty > 0 {
            self.input.drain(..empty);
            self.searched = 0;
        }
    }
}
