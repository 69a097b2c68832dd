//! The thread that keeps next hops current.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events as Ready, Interest, Poll, Token, Waker};
use pinhole_admin::{Event, EventKind};
use pinhole_flow::NextHop;
use pinhole_flow::settings::DataplaneSettings;
use socket2::{Domain, Protocol, Socket, Type};

use super::netlink::{Change, Neighbour, Questions, Route, Subscription};
use super::table::{NextHops, UNRESOLVED, Update};
use crate::events::Events;

const NETLINK: Token = Token(0);
const WAKE: Token = Token(1);
/// How often entries are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often a neighbour that the kernel does not confirm by itself is provoked.
const CONFIRM: Duration = Duration::from_secs(25);
/// How often everything is asked again, for what a subscription might have missed.
const RESYNC: Duration = Duration::from_secs(60);
/// After so many attempts without an answer an operator is told.
const ATTEMPTS_TOLD: u32 = 4;
/// The discard service: what is sent there asks for no answer.
const DISCARD: u16 = 9;

/// The kernel twin of a data-plane port.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Name of the data-plane port.
    pub port: String,
    /// Name of the TAP device.
    pub tap: String,
    /// VLAN of the port, 0: untagged.
    pub vlan: u16,
}

impl Interface {
    /// The twins of all data-plane ports, by port index.
    pub fn all(settings: &DataplaneSettings) -> Vec<Self> {
        let of = |port: &pinhole_flow::settings::PortSettings| Self {
            port: port.name.clone(),
            tap: port.tap.clone(),
            vlan: port.vlan.unwrap_or(0),
        };
        settings.port.iter().map(of).collect()
    }
}

/// Follows routes and neighbours.
pub struct Resolver {
    poll: Poll,
    subscription: Subscription,
    questions: Questions,
    interfaces: Vec<Interface>,
    table: Arc<NextHops>,
    events: Arc<Events>,
    publish: Box<dyn Fn(Update) + Send>,
    neighbours: HashMap<(u32, IpAddr), Neighbour>,
    tracked: HashMap<u32, Tracked>,
}

/// What the resolver knows of one index.
struct Tracked {
    ip: IpAddr,
    hop: Option<(u32, IpAddr)>,
    attempts: u32,
    next_try: Instant,
}

impl Resolver {
    /// Subscribes to the kernel; returns the table and the resolver that fills it.
    ///
    /// # Errors
    /// When the system gives no netlink socket or poll.
    pub fn new(
        capacity: usize,
        interfaces: Vec<Interface>,
        events: Arc<Events>,
        publish: Box<dyn Fn(Update) + Send>,
    ) -> io::Result<(Arc<NextHops>, Self)> {
        let poll = Poll::new()?;
        let subscription = Subscription::new()?;
        poll.registry().register(&mut SourceFd(&subscription.fd()), NETLINK, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let table = Arc::new(NextHops::new(capacity, Box::new(move || drop(waker.wake()))));
        let resolver = Self {
            poll,
            subscription,
            questions: Questions::new()?,
            interfaces,
            table: Arc::clone(&table),
            events,
            publish,
            neighbours: HashMap::new(),
            tracked: HashMap::new(),
        };
        Ok((table, resolver))
    }

    /// Runs until `stop`.
    pub fn run(mut self, stop: &AtomicBool) {
        let mut ready = Ready::with_capacity(8);
        let mut resync_at = Instant::now();
        let mut failing = false;
        while !stop.load(Ordering::Relaxed) {
            let turn = self.turn(&mut ready, &mut resync_at);
            match turn {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        let text = format!(
                            "routes and neighbours cannot be read from the kernel: {error}; tried again every second"
                        );
                        self.events.emit(Event::new(EventKind::Warning, text));
                    }
                    failing = true;
                    resync_at = Instant::now();
                    std::thread::sleep(TICK);
                }
            }
        }
    }

    fn turn(&mut self, ready: &mut Ready, resync_at: &mut Instant) -> io::Result<()> {
        match self.poll.poll(ready, Some(TICK)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = Instant::now();
        let mut all = false;
        match self.subscription.read() {
            Ok(changes) => {
                for change in changes {
                    all |= change == Change::Routes;
                    self.note(change);
                }
            }
            // Changes were lost (ENOBUFS): ask for everything.
            Err(_) => *resync_at = now,
        }
        if now >= *resync_at {
            *resync_at = now + RESYNC;
            all = true;
            self.neighbours.clear();
            self.questions.neighbours()?.into_iter().for_each(|change| self.note(change));
        }
        for index in self.table.take_fresh() {
            self.track(index, now);
        }
        let due: Vec<u32> = self
            .tracked
            .iter()
            .filter(|(_, tracked)| all || now >= tracked.next_try)
            .map(|(index, _)| *index)
            .collect();
        for index in due {
            self.route(index)?;
        }
        let indices: Vec<u32> = self.tracked.keys().copied().collect();
        indices.into_iter().for_each(|index| self.resolve(index, now));
        Ok(())
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Neighbour { interface, ip, neighbour } => {
                self.neighbours.insert((interface, ip), neighbour);
            }
            Change::NeighbourGone { interface, ip } => {
                self.neighbours.remove(&(interface, ip));
            }
            Change::Routes | Change::Done => {}
        }
    }

    fn track(&mut self, index: u32, now: Instant) {
        if let Some((_, ip)) = self.table.address(index) {
            self.tracked.insert(index, Tracked { ip, hop: None, attempts: 0, next_try: now });
        }
    }

    /// Asks the kernel where packets of `index` go.
    fn route(&mut self, index: u32) -> io::Result<()> {
        let Some((port, ip)) = self.table.address(index) else {
            self.tracked.remove(&index);
            return Ok(());
        };
        let interface =
            self.interfaces.get(usize::from(port)).and_then(|interface| interface_index(&interface.tap));
        let hop = match interface {
            None => None,
            Some(interface) => match self.questions.route(ip, interface)? {
                Some(Route::Via(hop)) => Some((interface, hop)),
                Some(Route::Local) | None => None,
            },
        };
        if let Some(tracked) = self.tracked.get_mut(&index) {
            tracked.hop = hop;
        }
        Ok(())
    }

    /// Publishes what is known of `index`, and provokes the kernel to learn more.
    fn resolve(&mut self, index: u32, now: Instant) {
        let Some((port, ip)) = self.table.address(index) else { return };
        let Some(interface) = self.interfaces.get(usize::from(port)).cloned() else { return };
        let Some(tracked) = self.tracked.get_mut(&index).filter(|tracked| tracked.ip == ip) else { return };
        let neighbour = tracked.hop.and_then(|hop| self.neighbours.get(&hop)).copied();
        let mac = neighbour.and_then(|neighbour| neighbour.mac);
        let value =
            mac.map_or(UNRESOLVED, |mac| NextHop { port, valid: 1, vlan: interface.vlan, mac, ..UNRESOLVED });
        if let Some(update) = self.table.set(index, ip, value) {
            (self.publish)(update);
        }
        if mac.is_some() && tracked.attempts >= ATTEMPTS_TOLD {
            let text = format!("{ip} on port {} has a next hop again", interface.port);
            self.events.emit(Event::new(EventKind::NextHop, text));
        }
        if mac.is_some() {
            tracked.attempts = 0;
        }
        // An address that was just lost is not left to its long pause.
        let lost = mac.is_none() && tracked.attempts == 0;
        if now < tracked.next_try && !lost {
            return;
        }
        if neighbour.is_some_and(|neighbour| neighbour.confirmed) {
            tracked.next_try = now + CONFIRM;
            return;
        }
        if let Some((_, hop)) = tracked.hop {
            provoke(hop, &interface.tap);
        }
        if mac.is_some() {
            tracked.next_try = now + CONFIRM;
            return;
        }
        tracked.attempts = tracked.attempts.saturating_add(1);
        tracked.next_try = now + TICK.saturating_mul(1 << tracked.attempts.min(4));
        if tracked.attempts == ATTEMPTS_TOLD {
            let text = match tracked.hop {
                Some((_, hop)) => format!(
                    "{hop} does not answer ARP on {}; media for {ip} is dropped until it does",
                    interface.tap
                ),
                None => format!(
                    "no route to {ip} by {} (port {}); media for it is dropped until there is one",
                    interface.tap, interface.port
                ),
            };
            self.events.emit(Event::new(EventKind::Warning, text));
        }
    }
}

fn interface_index(name: &str) -> Option<u32> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).ok()?;
    rustix::net::netdevice::name_to_index(&socket, name).ok()
}

/// Gives the kernel a reason to resolve `ip`: an empty datagram to its discard port. Whatever goes
/// wrong shows as a neighbour that stays unresolved.
fn provoke(ip: IpAddr, interface: &str) {
    let domain = if ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let Ok(socket) = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP)) else { return };
    // Unprivileged since Linux 5.7; before that the route decides.
    let _ = socket.bind_device(Some(interface.as_bytes()));
    let _ = socket.send_to(&[], &SocketAddr::new(ip, DISCARD).into());
}
