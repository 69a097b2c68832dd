//! Transactions (RFC 3261 section 17): what came in on one side and went out on the other.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use pinhole_sip::{Header, Message, Method, Via};
use zeroize::Zeroize;

use crate::dialogs::SetId;
use crate::registrations::RegisterRequest;
use crate::{DeviceName, Route};

/// Number of a transaction.
pub(crate) type TxId = u64;

/// One of our two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Outside: the phone.
    Phone,
    /// Inside: the call manager.
    Cluster,
}

impl Side {
    /// The opposite side.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Phone => Self::Cluster,
            Self::Cluster => Self::Phone,
        }
    }
}

/// What matches a request to its server transaction (RFC 3261 section 17.2.3). The method of ACK and of
/// the INVITE that it belongs to is INVITE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ServerKey {
    peer: Peer,
    branch: String,
    sent_by: String,
    method: Method,
}

/// Who sent a request. Branches of different senders are kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Peer {
    /// A phone.
    Phone(DeviceName),
    /// A call manager, by the index of its cluster.
    Cluster(usize),
}

impl ServerKey {
    /// The key of a request; also finds it again for its retransmissions and its ACK.
    pub(crate) fn of(peer: Peer, via: &Via, message: &Message) -> Self {
        let method = match message.method() {
            Some(Method::Ack) | None => Method::Invite,
            Some(method) => method,
        };
        let branch = match via.branch() {
            Some(branch) if branch.starts_with("z9hG4bK") => branch.to_owned(),
            // RFC 2543: no branch to rely on. Call-ID, CSeq number and From tag do the same for our peers.
            _ => format!(
                "{} {} {}",
                message.call_id().unwrap_or_default(),
                message.cseq().map_or(0, |cseq| cseq.number),
                message.from_tag().unwrap_or_default()
            ),
        };
        let port = via.port.map_or_else(String::new, |port| port.to_string());
        Self { peer, branch, sent_by: format!("{}:{port}", via.host.to_ascii_lowercase()), method }
    }

    /// The key of the INVITE that a CANCEL names.
    pub(crate) fn of_invite(mut self) -> Self {
        self.method = Method::Invite;
        self
    }
}

/// A transaction: a request that was relayed, or one of our own (then there is no server half).
pub(crate) struct Transaction {
    pub(crate) method: Method,
    pub(crate) cseq: u32,
    pub(crate) device: DeviceName,
    pub(crate) cluster: usize,
    pub(crate) server: Option<Server>,
    pub(crate) client: Client,
    /// The dialogs it belongs to.
    pub(crate) set: Option<SetId>,
    /// The REGISTER that it carries.
    pub(crate) register: Option<Box<RegisterRequest>>,
    /// Whether the request carried an offer, so that a description in the response is its answer.
    pub(crate) offered: bool,
}

/// The half that faces who sent the request.
pub(crate) struct Server {
    pub(crate) key: ServerKey,
    pub(crate) side: Side,
    /// Where responses go, towards a call manager.
    pub(crate) route: Option<Route>,
    pub(crate) vias: Vec<Header>,
    pub(crate) record_routes: Vec<Header>,
    /// To as it came, for responses of our own and for REGISTER, whose To we may change.
    pub(crate) to: String,
    /// From, Call-ID and CSeq as they came, for responses of our own.
    pub(crate) rest: Vec<Header>,
    pub(crate) unreliable: bool,
    /// Status of the last response sent; 0: none.
    pub(crate) code: u16,
    pub(crate) last: Vec<u8>,
    pub(crate) interval: Duration,
    /// Whether the final response to INVITE was acknowledged.
    pub(crate) acknowledged: bool,
}

/// The half that faces who is to answer the request.
pub(crate) struct Client {
    pub(crate) branch: String,
    pub(crate) side: Side,
    pub(crate) route: Option<Route>,
    /// The request without its body, for CANCEL and ACK.
    pub(crate) request: Message,
    pub(crate) bytes: Vec<u8>,
    pub(crate) unreliable: bool,
    /// Status of the last response received; 0: none.
    pub(crate) code: u16,
    pub(crate) interval: Duration,
    pub(crate) cancel: Cancel,
    /// The ACK of a final response other than 2xx.
    pub(crate) ack: Vec<u8>,
}

impl Drop for Server {
    /// What was sent may hold keys.
    fn drop(&mut self) {
        self.last.zeroize();
    }
}

impl Drop for Client {
    /// What was sent may hold keys.
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Whether an INVITE is being cancelled. CANCEL waits for a provisional response (RFC 3261 section 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancel {
    No,
    Wanted,
    Sent,
}

/// The transactions of a shard.
#[derive(Default)]
pub(crate) struct Transactions {
    next: TxId,
    by_id: HashMap<TxId, Transaction>,
    by_server: HashMap<ServerKey, TxId>,
    by_branch: HashMap<(String, bool), TxId>,
    by_device: HashMap<DeviceName, BTreeSet<TxId>>,
    by_set: HashMap<SetId, BTreeSet<TxId>>,
    begun: HashMap<DeviceName, usize>,
}

impl Transactions {
    /// A number for a transaction to come.
    pub(crate) fn reserve(&mut self) -> TxId {
        self.next += 1;
        self.next
    }

    /// Keeps a transaction under its number.
    pub(crate) fn insert(&mut self, id: TxId, transaction: Transaction) {
        if let Some(server) = &transaction.server {
            self.by_server.insert(server.key.clone(), id);
            if server.side == Side::Phone {
                *self.begun.entry(transaction.device.clone()).or_default() += 1;
            }
        }
        self.by_branch.insert(branch_key(&transaction.client.branch, &transaction.method), id);
        self.by_device.entry(transaction.device.clone()).or_default().insert(id);
        if let Some(set) = transaction.set {
            self.by_set.entry(set).or_default().insert(id);
        }
        self.by_id.insert(id, transaction);
    }

    pub(crate) fn get(&self, id: TxId) -> Option<&Transaction> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: TxId) -> Option<&mut Transaction> {
        self.by_id.get_mut(&id)
    }

    /// The transaction of a request seen before.
    pub(crate) fn by_server(&self, key: &ServerKey) -> Option<TxId> {
        self.by_server.get(key).copied()
    }

    /// The transaction that a response belongs to.
    pub(crate) fn by_branch(&self, branch: &str, method: &Method) -> Option<TxId> {
        self.by_branch.get(&branch_key(branch, method)).copied()
    }

    /// Forgets a transaction.
    pub(crate) fn remove(&mut self, id: TxId) -> Option<Transaction> {
        let transaction = self.by_id.remove(&id)?;
        let branch = branch_key(&transaction.client.branch, &transaction.method);
        if self.by_branch.get(&branch) == Some(&id) {
            self.by_branch.remove(&branch);
        }
        if let Some(server) = &transaction.server {
            if self.by_server.get(&server.key) == Some(&id) {
                self.by_server.remove(&server.key);
            }
            if server.side == Side::Phone
                && let Some(count) = self.begun.get_mut(&transaction.device)
            {
                *count -= 1;
                if *count == 0 {
                    self.begun.remove(&transaction.device);
                }
            }
        }
        remove_from(&mut self.by_device, &transaction.device, id);
        if let Some(set) = transaction.set {
            remove_from(&mut self.by_set, &set, id);
        }
        Some(transaction)
    }

    /// Transactions whose answer is awaited from `side` for a device, in the order they began.
    pub(crate) fn awaiting(&self, side: Side, device: &DeviceName) -> Vec<TxId> {
        let Some(ids) = self.by_device.get(device) else { return Vec::new() };
        let waits = |tx: &Transaction| tx.client.side == side && tx.client.code < 200;
        ids.iter().copied().filter(|id| self.get(*id).is_some_and(waits)).collect()
    }

    /// Transactions of a dialog set, in the order they began.
    pub(crate) fn of_set(&self, set: SetId) -> Vec<TxId> {
        self.by_set.get(&set).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// How many transactions a phone has begun.
    pub(crate) fn of_phone(&self, device: &DeviceName) -> usize {
        self.begun.get(device).copied().unwrap_or_default()
    }
}

/// CANCEL has the branch of its INVITE, but is a transaction of its own.
fn branch_key(branch: &str, method: &Method) -> (String, bool) {
    (branch.to_owned(), *method == Method::Cancel)
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<TxId>>, key: &K, id: TxId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
