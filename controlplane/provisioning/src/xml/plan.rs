//! What becomes of each element, and the text that comes out.

use std::collections::BTreeMap;
use std::ops::Range;

use quick_xml::escape::partial_escape;

use super::change::{CHANGES_MAX, Change, shown};
use super::elements::{Action, ROWS, URL_ROWS};
use super::rules::{CallManager, MEMBERS_MAX, SCCP_SECURE_OFFSET, Server, Srst, TimeServer};
use super::tree::{Node, Tree, is_space};
use super::{RewriteError, RewriteRules, VersionStamp};
use crate::SecurityClass;

/// What becomes of an element, and so of those in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It stays; each element in it is looked at.
    Stays,
    /// It stays, but what was in it is replaced.
    Replaced,
    /// It goes.
    Gone,
}

/// The changes of one document.
pub(super) struct Plan<'a> {
    tree: &'a Tree<'a>,
    rules: &'a RewriteRules,
    class: SecurityClass,
    /// Of each element looked at so far.
    fates: Vec<Fate>,
    /// Which call manager each `member` that stays is.
    managers: BTreeMap<usize, &'a CallManager>,
    unmapped: Vec<String>,
    edits: Vec<(Range<usize>, String)>,
    /// What is added at the end of elements.
    additions: BTreeMap<usize, Vec<Branch>>,
    changes: Vec<Change>,
    unlisted: usize,
}

/// An element to be added.
struct Branch {
    /// Its start tag, without brackets.
    tag: &'static str,
    value: String,
    children: Vec<Branch>,
}

impl<'a> Plan<'a> {
    pub fn new(tree: &'a Tree<'a>, rules: &'a RewriteRules, class: SecurityClass) -> Self {
        Self {
            tree,
            rules,
            class,
            fates: Vec::with_capacity(tree.nodes.len()),
            managers: BTreeMap::new(),
            unmapped: Vec::new(),
            edits: Vec::new(),
            additions: BTreeMap::new(),
            changes: Vec::new(),
            unlisted: 0,
        }
    }

    /// Decides about every element, then about missing ones.
    pub fn make(&mut self) -> Result<(), RewriteError> {
        for (index, node) in self.tree.nodes.iter().enumerate() {
            let reached = node.parent.is_none_or(|parent| self.fates.get(parent) == Some(&Fate::Stays));
            let fate = if reached { self.decide(index, node) } else { Fate::Gone };
            self.fates.push(fate);
        }
        if self.managers.is_empty() {
            let unmapped = std::mem::take(&mut self.unmapped);
            return Err(if unmapped.is_empty() {
                RewriteError::NoCallManager
            } else {
                RewriteError::UnmappedCallManagers(unmapped)
            });
        }
        self.add_missing();
        Ok(())
    }

    fn decide(&mut self, index: usize, node: &'a Node<'a>) -> Fate {
        match node.name {
            "deviceSecurityMode" => self.set(node, self.class.mode()),
            "transportLayerProtocol" => self.set(node, TLS),
            "member" if self.is(node, &["callManagerGroup", "members", "member"]) => self.member(index, node),
            // It will be a stamp alone; what is in it now must not count as there.
            VERSION_STAMP if self.is_stamp(node) && node.has_elements => self.set(node, &node.value),
            _ if self.is_of_member(node) => self.of_member(node),
            _ if self.is(node, &["srstInfo", node.name]) => self.srst(node),
            "TVS" | "capfList" => match self.server(node.name) {
                Server::Remove => self.remove(node),
                Server::Keep | Server::At(_) => Fate::Stays,
            },
            _ if self.is(node, &["TVS", "members", node.name]) => {
                self.only_first(node, "member", &self.rules.tvs)
            }
            _ if self.is(node, &["capfList", node.name]) => self.only_first(node, "capf", &self.rules.capf),
            _ if self.is(node, &["TVS", "members", "member", node.name]) => {
                self.of_server(node, &self.rules.tvs, "address", "port")
            }
            _ if self.is(node, &["capfList", "capf", node.name]) => {
                self.of_server(node, &self.rules.capf, "processNodeName", "phonePort")
            }
            _ if self.is(node, &["ntps", "ntp"]) => match &self.rules.ntp {
                TimeServer::Keep => Fate::Stays,
                TimeServer::At(_) if node.ordinal == 0 => Fate::Stays,
                TimeServer::At(_) | TimeServer::Remove => self.remove(node),
            },
            "name" if self.is(node, &["ntps", "ntp", "name"]) => match &self.rules.ntp {
                TimeServer::At(address) => self.set(node, address),
                TimeServer::Keep | TimeServer::Remove => Fate::Stays,
            },
            _ => self.by_table(node),
        }
    }

    fn is(&self, node: &Node<'_>, path: &[&str]) -> bool {
        self.tree.ends_with(node, path)
    }

    /// The stamp that follows what is changed.
    fn is_stamp(&self, node: &Node<'_>) -> bool {
        node.parent == Some(0)
            && node.name == VERSION_STAMP
            && self.rules.version_stamp == VersionStamp::Derive
    }

    /// A call manager: it stays if it is known.
    fn member(&mut self, index: usize, node: &'a Node<'a>) -> Fate {
        let names = self.tree.child(index, "callManager", |_| true);
        let name = names.and_then(|manager| self.tree.child(manager, "processNodeName", |_| true));
        let name = name
            .and_then(|name| self.tree.nodes.get(name))
            .map_or("", |name| name.value.trim_matches(is_space));
        match self.rules.call_manager(name) {
            Some(manager) if self.managers.len() < MEMBERS_MAX => {
                self.managers.insert(index, manager);
                Fate::Stays
            }
            known => {
                if known.is_none() && self.unmapped.len() < MEMBERS_MAX {
                    self.unmapped.push(shown("processNodeName", name));
                }
                self.remove(node)
            }
        }
    }

    fn is_of_member(&self, node: &Node<'_>) -> bool {
        match node.name {
            "processNodeName" => {
                self.is(node, &["callManagerGroup", "members", "member", "callManager", node.name])
            }
            "ethernetPhonePort" | "securedSipPort" => {
                self.is(node, &["callManagerGroup", "members", "member", "callManager", "ports", node.name])
            }
            _ => false,
        }
    }

    fn of_member(&mut self, node: &'a Node<'a>) -> Fate {
        let mut at = node.parent;
        while let Some(index) = at {
            if let Some(manager) = self.managers.get(&index).copied() {
                return match node.name {
                    "processNodeName" => self.set(node, &manager.outside),
                    "ethernetPhonePort" => self.set(node, &ethernet_phone_port(manager)),
                    _ => self.set(node, &manager.sip_tls_port.to_string()),
                };
            }
            at = self.tree.nodes.get(index).and_then(|parent| parent.parent);
        }
        Fate::Stays
    }

    /// An element of `srstInfo`.
    fn srst(&mut self, node: &'a Node<'a>) -> Fate {
        let servers = match &self.rules.srst {
            Srst::Keep => return Fate::Stays,
            Srst::Clear => [].as_slice(),
            Srst::At(servers) => servers,
        };
        let number = node.name.chars().last().and_then(|last| last.to_digit(10)).unwrap_or(0) as usize;
        let server = number.checked_sub(1).and_then(|place| servers.get(place));
        match (node.name.trim_end_matches(['1', '2', '3']), server) {
            ("srstOption", _) if servers.is_empty() => self.set(node, "Disable"),
            ("isSecure", _) if !servers.is_empty() => self.set(node, "true"),
            ("ipAddr" | "sipIpAddr", Some(server)) => self.set(node, &server.address.to_string()),
            ("ipAddr" | "sipIpAddr", None) => self.set(node, ""),
            ("port", Some(server)) => self.set(node, &server.port.to_string()),
            ("sipPort", Some(server)) => self.set(node, &server.sip_port.to_string()),
            _ => Fate::Stays,
        }
    }

    fn server(&self, name: &str) -> &'a Server {
        if name == "TVS" { &self.rules.tvs } else { &self.rules.capf }
    }

    /// An entry of a list of servers, of which one is enough.
    fn only_first(&mut self, node: &'a Node<'a>, entry: &str, server: &Server) -> Fate {
        let superfluous = matches!(server, Server::At(_)) && node.name == entry && node.ordinal > 0;
        if superfluous { self.remove(node) } else { Fate::Stays }
    }

    fn of_server(&mut self, node: &'a Node<'a>, server: &Server, address: &str, port: &str) -> Fate {
        match server {
            Server::At(at) if node.name == address => self.set(node, &at.address),
            Server::At(at) if node.name == port => self.set(node, &at.port.to_string()),
            _ => Fate::Stays,
        }
    }

    fn by_table(&mut self, node: &'a Node<'a>) -> Fate {
        let rules = self.rules;
        let row = ROWS.iter().zip(rules.elements.actions()).find(|(row, _)| self.is(node, row.path));
        if let Some((_, action)) = row {
            return match action {
                Action::Keep => Fate::Stays,
                Action::Blank => self.set(node, ""),
                Action::Remove => self.remove(node),
                Action::Set(value) => self.set(node, value),
            };
        }
        let row = URL_ROWS.iter().zip(rules.urls.actions());
        let mut row = row.filter(|(row, _)| row.paths.iter().any(|path| self.is(node, path)));
        match row.next() {
            Some((_, action)) => {
                let url = action.apply(node.value.trim_matches(is_space));
                self.set(node, &url)
            }
            None => Fate::Stays,
        }
    }

    /// Gives an element a value; an empty one leaves it empty.
    fn set(&mut self, node: &'a Node<'a>, value: &str) -> Fate {
        let (value, before) = (value.trim_matches(is_space), node.value.trim_matches(is_space));
        if !node.has_elements && before == value {
            return Fate::Stays;
        }
        let text = partial_escape(value);
        let edit = if node.empty {
            let start = self.tree.slice(node.span.clone()).trim_end_matches("/>").trim_end_matches(is_space);
            (node.span.clone(), format!("{start}>{text}</{}>", node.name))
        } else if node.is_mixed || before.is_empty() {
            (node.inner.clone(), text.into_owned())
        } else {
            let inner = self.tree.slice(node.inner.clone());
            let from = node.inner.start + inner.len() - inner.trim_start_matches(is_space).len();
            (from..from + inner.trim_matches(is_space).len(), text.into_owned())
        };
        self.edits.push(edit);
        let path = self.tree.path(node);
        self.note(path, Some(shown(node.name, before)), Some(shown(node.name, value)));
        Fate::Replaced
    }

    fn remove(&mut self, node: &'a Node<'a>) -> Fate {
        self.edits.push((node.span.clone(), String::new()));
        let first = self.tree.nodes.partition_point(|other| other.span.start < node.span.start);
        let within = self.tree.nodes.iter().skip(first).take_while(|other| other.span.start < node.span.end);
        for leaf in within.filter(|leaf| !leaf.has_elements) {
            let path = self.tree.path(leaf);
            self.note(path, Some(shown(leaf.name, leaf.value.trim_matches(is_space))), None);
        }
        Fate::Gone
    }

    fn note(&mut self, path: String, before: Option<String>, after: Option<String>) {
        if self.changes.len() < CHANGES_MAX {
            self.changes.push(Change { path, before, after });
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds what security needs and what the operator has set.
    fn add_missing(&mut self) {
        let rules = self.rules;
        self.ensure(0, &["deviceSecurityMode"], self.class.mode());
        self.ensure(0, &["transportLayerProtocol"], TLS);
        for (member, manager) in self.managers.clone() {
            self.ensure(
                member,
                &["callManager", "ports", "ethernetPhonePort"],
                &ethernet_phone_port(manager),
            );
            self.ensure(
                member,
                &["callManager", "ports", "securedSipPort"],
                &manager.sip_tls_port.to_string(),
            );
        }
        if let Server::At(at) = &rules.tvs {
            let member = ["TVS", "members", "member priority=\"0\""];
            self.ensure(0, &[member.as_slice(), &["port"]].concat(), &at.port.to_string());
            self.ensure(0, &[member.as_slice(), &["address"]].concat(), &at.address);
        }
        if let Server::At(at) = &rules.capf {
            self.ensure(0, &["capfList", "capf", "phonePort"], &at.port.to_string());
            self.ensure(0, &["capfList", "capf", "processNodeName"], &at.address);
        }
        for (row, action) in ROWS.iter().zip(rules.elements.actions()) {
            let (Some(home), Action::Set(value), Some(name)) = (row.home, action, row.path.last()) else {
                continue;
            };
            // Other homes belong to phones of one protocol: a phone without them has no use for what is in them.
            let parent = home.iter().try_fold(0, |at, name| self.child(at, name));
            if parent.is_some() || home == ["vendorConfig"] {
                self.ensure(0, &[home, &[*name]].concat(), value);
            }
        }
    }

    /// Adds an element of this value, and those around it, unless it is there.
    fn ensure(&mut self, from: usize, path: &[&'static str], value: &str) {
        let mut at = from;
        for (depth, tag) in path.iter().enumerate() {
            if let Some(child) = self.child(at, name_of(tag)) {
                at = child;
                continue;
            }
            let missing = path.get(depth..).unwrap_or_default();
            let (value, home) = (value.trim_matches(is_space), self.tree.nodes.get(at));
            if let (Some(Fate::Stays), Some(home)) = (self.fates.get(at), home) {
                grow(self.additions.entry(at).or_default(), missing, value);
                let names = missing.iter().map(|tag| name_of(tag)).collect::<Vec<_>>().join("/");
                let name = missing.last().copied().unwrap_or_default();
                self.note(format!("{}/{names}", self.tree.path(home)), None, Some(shown(name, value)));
            }
            return;
        }
    }

    /// The first element of this name that stays.
    fn child(&self, parent: usize, name: &str) -> Option<usize> {
        self.tree.child(parent, name, |index| self.fates.get(index).is_some_and(|fate| *fate != Fate::Gone))
    }

    /// The call manager's stamp.
    pub fn version_stamp(&self) -> &'a str {
        let node = self.child(0, VERSION_STAMP).and_then(|index| self.tree.nodes.get(index));
        node.map_or("", |node| node.value.trim_matches(is_space))
    }

    pub fn set_version_stamp(&mut self, stamp: &str) {
        let tree = self.tree;
        let found: Vec<_> = tree.nodes.iter().filter(|node| self.is_stamp(node)).collect();
        if found.is_empty() {
            self.ensure(0, &[VERSION_STAMP], stamp);
        }
        for node in found {
            self.edits.retain(|(range, _)| range.end <= node.span.start || node.span.end <= range.start);
            self.set(node, stamp);
        }
    }

    /// The text with all changes made.
    pub fn apply(&self) -> String {
        let mut edits = self.edits.clone();
        for (index, branches) in &self.additions {
            let Some(node) = self.tree.nodes.get(*index) else { continue };
            let mut text = String::new();
            branches.iter().for_each(|branch| branch.write(&mut text));
            if node.empty {
                let start =
                    self.tree.slice(node.span.clone()).trim_end_matches("/>").trim_end_matches(is_space);
                edits.push((node.span.clone(), format!("{start}>{text}</{}>", node.name)));
            } else {
                edits.push((node.inner.end..node.inner.end, text));
            }
        }
        edits.sort_by_key(|(range, _)| (range.start, range.end));
        let mut out = String::with_capacity(self.tree.text.len() + 1024);
        let mut at = 0;
        for (range, text) in &edits {
            debug_assert!(range.start >= at, "edits overlap");
            out.push_str(self.tree.slice(at..range.start));
            out.push_str(text);
            at = range.end;
        }
        out + self.tree.slice(at..self.tree.text.len())
    }

    pub fn into_changes(self) -> (Vec<Change>, usize) {
        (self.changes, self.unlisted)
    }
}

const TLS: &str = "3";
const VERSION_STAMP: &str = "versionStamp";

/// The phone adds 443 (provisioning 2.5, \[V\]).
fn ethernet_phone_port(manager: &CallManager) -> String {
    manager.sccp_tls_port.saturating_sub(SCCP_SECURE_OFFSET).to_string()
}

/// The name in a tag that may have attributes.
fn name_of(tag: &str) -> &str {
    tag.split(' ').next().unwrap_or_default()
}

/// Adds a path to what is to be added.
fn grow(branches: &mut Vec<Branch>, path: &[&'static str], value: &str) {
    let [tag, rest @ ..] = path else { return };
    let place = branches.iter().position(|branch| branch.tag == *tag && !branch.children.is_empty());
    let place = place.unwrap_or_else(|| {
        let value = if rest.is_empty() { value.to_owned() } else { String::new() };
        branches.push(Branch { tag, value, children: Vec::new() });
        branches.len() - 1
    });
    if let Some(branch) = branches.get_mut(place) {
        grow(&mut branch.children, rest, value);
    }
}

impl Branch {
    fn write(&self, out: &mut String) {
        out.extend(["<", self.tag, ">"]);
        out.push_str(&partial_escape(self.value.as_str()));
        self.children.iter().for_each(|child| child.write(out));
        out.extend(["</", name_of(self.tag), ">"]);
    }
}
