//! Many phones on one poll: they come all at once, come again if they are turned away, keep alive, and leave.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;

use crate::StormError;
use crate::phone::Phone;
use crate::speech::{Heard, Speech};

/// The first pause of a phone that was turned away. It doubles four times, and differs among phones by up to as much again, since
/// each has its own clock.
const PAUSE: Duration = Duration::from_millis(500);
/// What it doubles to, as a power of two.
const DOUBLINGS: u32 = 4;
/// Longest sleep of the poll.
const IDLE: Duration = Duration::from_millis(50);

/// Phones of one place, such as an office behind one address.
pub struct Crowd {
    poll: Poll,
    events: Events,
    to: SocketAddr,
    speech: Speech,
    places: Vec<Place>,
    /// When a phone connects again, or keeps alive.
    due: BTreeSet<(Instant, usize)>,
    /// Between keep-alives of a phone.
    every: Option<Duration>,
    tally: Tally,
}

/// What has become of the phones.
#[derive(Clone)]
pub struct Tally {
    /// Phones that were registered.
    pub registered: usize,
    /// Connections that ended before that; the phone comes again.
    pub turned_away: u64,
    /// Connections of registered phones that ended.
    pub lost: u64,
    /// Keep-alives that were sent.
    pub sent: u64,
    /// Microseconds until keep-alives were answered.
    pub waits: Histogram<u64>,
}

impl Tally {
    fn new() -> Result<Self, StormError> {
        Ok(Self { registered: 0, turned_away: 0, lost: 0, sent: 0, waits: Histogram::new(3)? })
    }

    /// Keep-alives that were not answered.
    pub fn unanswered(&self) -> u64 {
        self.sent.saturating_sub(self.waits.len())
    }

    /// Adds what was counted later.
    pub fn add(&mut self, later: &Self) {
        self.registered = later.registered;
        self.turned_away += later.turned_away;
        self.lost += later.lost;
        self.sent += later.sent;
        let _ = self.waits.add(&later.waits);
    }

    /// Milliseconds that this part of the keep-alives (0 to 1) did not wait for longer.
    pub fn wait_ms(&self, part: f64) -> f64 {
        self.waits.value_at_quantile(part) as f64 / 1000.0
    }
}

struct Place {
    device: String,
    config: Arc<ClientConfig>,
    phone: Option<Phone>,
    is_registered: bool,
    attempts: u32,
    /// When the keep-alive that is not answered yet was sent.
    asked: Option<Instant>,
}

impl Crowd {
    /// Phones that will connect to this address.
    ///
    /// # Errors
    /// When the system refuses a poll.
    pub fn new(
        to: SocketAddr,
        speech: Speech,
        phones: impl IntoIterator<Item = (String, Arc<ClientConfig>)>,
    ) -> Result<Self, StormError> {
        let place = |(device, config)| Place {
            device,
            config,
            phone: None,
            is_registered: false,
            attempts: 0,
            asked: None,
        };
        Ok(Self {
            poll: Poll::new().map_err(StormError::system("a poll"))?,
            events: Events::with_capacity(1024),
            to,
            speech,
            places: phones.into_iter().map(place).collect(),
            due: BTreeSet::new(),
            every: None,
            tally: Tally::new()?,
        })
    }

    /// All connect at once; returns when all are registered, or at the deadline.
    ///
    /// # Errors
    /// When the system refuses sockets.
    pub fn register(&mut self, deadline: Instant) -> Result<(), StormError> {
        for at in 0..self.places.len() {
            self.connect(at)?;
        }
        while self.tally.registered < self.places.len() && Instant::now() < deadline {
            self.turn(deadline)?;
        }
        Ok(())
    }

    /// From now on each phone keeps alive so often, evenly spread.
    pub fn keep_alive(&mut self, every: Duration) {
        self.every = Some(every);
        let now = Instant::now();
        let share = every.as_secs_f64() / self.places.len().max(1) as f64;
        self.due =
            (0..self.places.len()).map(|at| (now + Duration::from_secs_f64(share * at as f64), at)).collect();
    }

    /// No phone sends keep-alives any more; those that are under way are waited for until the deadline.
    ///
    /// # Errors
    /// When the poll fails.
    pub fn fall_silent(&mut self, deadline: Instant) -> Result<(), StormError> {
        self.every = None;
        self.due.clear();
        while self.places.iter().any(|place| place.asked.is_some()) && Instant::now() < deadline {
            self.turn(deadline)?;
        }
        Ok(())
    }

    /// What was counted since the last time; the phones that are registered stay counted.
    ///
    /// # Errors
    /// None in fact.
    pub fn take_tally(&mut self) -> Result<Tally, StormError> {
        let next = Tally { registered: self.tally.registered, ..Tally::new()? };
        Ok(std::mem::replace(&mut self.tally, next))
    }

    /// All leave.
    pub fn leave(&mut self) {
        self.every = None;
        self.due.clear();
        for place in &mut self.places {
            if let Some(mut phone) = place.phone.take() {
                let _ = self.poll.registry().deregister(phone.stream());
                phone.leave();
            }
            (place.is_registered, place.attempts, place.asked) = (false, 0, None);
        }
        self.tally.registered = 0;
    }

    /// Waits for sockets until something is due, at most until `until`, and does what there is to do.
    ///
    /// # Errors
    /// When the system refuses sockets, or the poll fails.
    pub fn turn(&mut self, until: Instant) -> Result<(), StormError> {
        let now = Instant::now();
        let next = self.due.first().map_or(until, |(at, _)| until.min(*at));
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(next.saturating_duration_since(now).min(IDLE))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(StormError::system("to poll")(error));
            }
            _ => {}
        }
        for event in &events {
            self.ready(event.token().0);
        }
        self.events = events;
        let now = Instant::now();
        while self.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((at, phone)) = self.due.pop_first() else { break };
            match self.places.get(phone).is_some_and(|place| place.phone.is_some()) {
                true => self.say_alive(phone, at),
                false => self.connect(phone)?,
            }
        }
        Ok(())
    }

    fn connect(&mut self, at: usize) -> Result<(), StormError> {
        let Some(place) = self.places.get_mut(at) else { return Ok(()) };
        let mut phone = Phone::connect(self.to, &place.device, &place.config, self.speech)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(phone.stream(), Token(at), interest);
        registered.map_err(StormError::system("to watch a socket"))?;
        place.attempts += 1;
        place.phone = Some(phone);
        Ok(())
    }

    fn say_alive(&mut self, at: usize, due: Instant) {
        let (Some(place), Some(every)) = (self.places.get_mut(at), self.every) else { return };
        let Some(phone) = place.phone.as_mut().filter(|_| place.is_registered) else { return };
        self.due.insert((due + every, at));
        // One at a time: what waits longer than its interval is one long wait.
        if place.asked.is_some() {
            return;
        }
        place.asked = Some(Instant::now());
        self.tally.sent += 1;
        if phone.say(&self.speech.keep_alive()).is_err() {
            self.ended(at);
        }
    }

    fn ready(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else { return };
        let Some(phone) = &mut place.phone else { return };
        let Ok(heard) = phone.ready() else { return self.ended(at) };
        for one in heard {
            match one {
                Heard::Registered if !place.is_registered => {
                    place.is_registered = true;
                    self.tally.registered += 1;
                }
                Heard::Alive => {
                    if let Some(since) = place.asked.take() {
                        // It grows by itself.
                        let _ = self.tally.waits.record(since.elapsed().as_micros() as u64);
                    }
                }
                Heard::Refused => return self.ended(at),
                Heard::Registered | Heard::Asked(_) | Heard::Other => {}
            }
        }
    }

    fn ended(&mut self, at: usize) {
        let Some(place) = self.places.get_mut(at) else { return };
        let Some(mut phone) = place.phone.take() else { return };
        let _ = self.poll.registry().deregister(phone.stream());
        place.asked = None;
        if std::mem::take(&mut place.is_registered) {
            self.tally.lost += 1;
            self.tally.registered -= 1;
            return;
        }
        self.tally.turned_away += 1;
        let pause = PAUSE * (1 << place.attempts.saturating_sub(1).min(DOUBLINGS));
        // Spread by a stride that meets no pattern of the phones' order.
        let spread = (at * 619 % 1000) as f64 / 1000.0;
        self.due.insert((Instant::now() + pause.mul_f64(1.0 + spread), at));
    }
}
