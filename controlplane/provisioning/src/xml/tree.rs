//! Where each element of a document is, so that single ones can be changed and all else stays byte for byte.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::encoding::line;
use super::{ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, XmlError};

/// The elements of a document in their order: a parent comes before its children.
pub(super) struct Tree<'a> {
    pub text: &'a str,
    pub nodes: Vec<Node<'a>>,
}

/// An element.
pub(super) struct Node<'a> {
    pub name: &'a str,
    pub parent: Option<usize>,
    /// How many siblings of this name stand before it.
    pub ordinal: usize,
    /// From `<` of its start tag to `>` of its end tag.
    pub span: Range<usize>,
    /// What is between its tags; nothing, at the end of the tag, in an element without an end tag.
    pub inner: Range<usize>,
    /// Written as `<name/>`.
    pub empty: bool,
    /// Whether elements are in it.
    pub has_elements: bool,
    /// Whether anything but plain text is in it: elements, comments, CDATA, processing instructions.
    pub is_mixed: bool,
    /// Its own text, decoded.
    pub value: String,
}

impl<'a> Tree<'a> {
    /// Reads a document strictly.
    pub fn read(text: &'a str) -> Result<Self, XmlError> {
        if let Some(at) = text.find(|c: char| is_forbidden(c)) {
            return Err(XmlError::Character { line: line_at(text, at) });
        }
        let mut scan =
            Scan { tree: Self { text, nodes: Vec::new() }, open: Vec::new(), ordinals: HashMap::new() };
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.check_comments = true;
        config.check_end_names = true;
        loop {
            let start = position(&reader);
            let event = reader.read_event().map_err(|error| {
                let line = line_at(text, position(&reader));
                match error {
                    Error::IllFormed(IllFormedError::UnclosedReference) => XmlError::Entity { line },
                    _ => XmlError::Malformed { line },
                }
            })?;
            if matches!(event, Event::Eof) {
                break;
            }
            scan.event(&event, start..position(&reader))?;
        }
        if !scan.open.is_empty() {
            return Err(XmlError::Malformed { line: line_at(text, text.len()) });
        }
        if scan.tree.nodes.is_empty() {
            return Err(XmlError::Root);
        }
        Ok(scan.tree)
    }

    /// Whether the element and its ancestors bear these names, the element's own last.
    pub fn ends_with(&self, node: &Node<'_>, path: &[&str]) -> bool {
        let mut at = Some(node);
        path.iter().rev().all(|name| {
            let found = at.is_some_and(|node| node.name == *name);
            at = at.and_then(|node| node.parent).and_then(|parent| self.nodes.get(parent));
            found
        })
    }

    /// The first element of this name directly in `parent` that `live` lets pass.
    pub fn child(&self, parent: usize, name: &str, live: impl Fn(usize) -> bool) -> Option<usize> {
        let inner = self.nodes.get(parent)?.inner.clone();
        let inside = |node: &&Node<'_>| node.span.start < inner.end;
        let after = self.nodes.iter().skip(parent + 1).take_while(inside).zip(parent + 1..);
        let mut found = after.filter(|(node, _)| node.parent == Some(parent) && node.name == name);
        found.find(|(_, index)| live(*index)).map(|(_, index)| index)
    }

    /// The path of an element for people: `device/members/member[1]`.
    pub fn path(&self, node: &Node<'_>) -> String {
        let own = match node.ordinal {
            0 => Cow::Borrowed(node.name),
            ordinal => format!("{}[{ordinal}]", node.name).into(),
        };
        match node.parent.and_then(|parent| self.nodes.get(parent)) {
            Some(parent) => self.path(parent) + "/" + &own,
            None => own.into_owned(),
        }
    }

    /// A part of the text.
    pub fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }
}

struct Scan<'a> {
    tree: Tree<'a>,
    open: Vec<usize>,
    /// How many elements of a name an element has had so far.
    ordinals: HashMap<(Option<usize>, &'a str), usize>,
}

impl<'a> Scan<'a> {
    fn event(&mut self, event: &Event<'a>, span: Range<usize>) -> Result<(), XmlError> {
        let text = self.tree.text;
        let line = || line_at(text, span.start);
        match event {
            Event::Start(start) => {
                self.element(start, span.clone(), false)?;
                if self.open.len() >= DEPTH_MAX {
                    return Err(XmlError::TooDeep);
                }
                self.open.push(self.tree.nodes.len() - 1);
            }
            Event::Empty(start) => self.element(start, span.clone(), true)?,
            Event::End(_) => {
                let closed = self.open.pop().and_then(|index| self.tree.nodes.get_mut(index));
                let node = closed.ok_or_else(|| XmlError::Malformed { line: line() })?;
                node.inner.end = span.start;
                node.span.end = span.end;
            }
            Event::Text(text) => {
                let text = text.xml10_content();
                match self.current() {
                    Some(node) => node.value.push_str(&text),
                    None if text.trim_matches(is_space).is_empty() => {}
                    None => return Err(XmlError::Root),
                }
            }
            Event::GeneralRef(reference) => {
                let c = resolve(reference).ok_or_else(|| XmlError::Entity { line: line() })?;
                self.current().ok_or(XmlError::Root)?.value.push_str(&c);
            }
            Event::CData(text) => {
                let node = self.current().ok_or(XmlError::Root)?;
                node.value.push_str(&text.xml10_content());
                node.is_mixed = true;
            }
            Event::DocType(_) => return Err(XmlError::DocumentType { line: line() }),
            Event::Decl(_) if span.start != 0 => return Err(XmlError::Malformed { line: line() }),
            Event::Comment(_) | Event::PI(_) => {
                if let Some(node) = self.current() {
                    node.is_mixed = true;
                }
            }
            Event::Decl(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn current(&mut self) -> Option<&mut Node<'a>> {
        self.open.last().and_then(|index| self.tree.nodes.get_mut(*index))
    }

    fn element(&mut self, start: &BytesStart<'a>, span: Range<usize>, empty: bool) -> Result<(), XmlError> {
        let text = self.tree.text;
        let line = || line_at(text, span.start);
        let parent = self.open.last().copied();
        if parent.is_none() && !self.tree.nodes.is_empty() {
            return Err(XmlError::Root);
        }
        if self.tree.nodes.len() >= ELEMENTS_MAX {
            return Err(XmlError::TooManyElements);
        }
        check_attributes(start, line)?;
        // The name stands right after `<`.
        let from = span.start + 1;
        let name = self.tree.slice(from..from + start.name().as_ref().len());
        if !is_name(name) {
            return Err(XmlError::Malformed { line: line() });
        }
        let ordinal = self.ordinals.entry((parent, name)).or_default();
        let node = Node {
            name,
            parent,
            ordinal: *ordinal,
            inner: span.end..span.end,
            span,
            empty,
            has_elements: false,
            is_mixed: false,
            value: String::new(),
        };
        *ordinal += 1;
        if let Some(node) = self.current() {
            node.has_elements = true;
            node.is_mixed = true;
        }
        self.tree.nodes.push(node);
        Ok(())
    }
}

fn check_attributes(start: &BytesStart<'_>, line: impl Fn() -> usize) -> Result<(), XmlError> {
    for (count, attribute) in start.attributes().enumerate() {
        // Each is compared with all before it.
        if count >= ATTRIBUTES_MAX {
            return Err(XmlError::TooManyAttributes);
        }
        let attribute = attribute.map_err(|_| XmlError::Malformed { line: line() })?;
        if !is_name(attribute.key.as_ref()) || attribute.value.contains('<') {
            return Err(XmlError::Malformed { line: line() });
        }
        unescape(&attribute.value).map_err(|_| XmlError::Entity { line: line() })?;
    }
    Ok(())
}

/// The character that a reference stands for.
fn resolve(reference: &BytesRef<'_>) -> Option<Cow<'static, str>> {
    if reference.is_char_ref() {
        let c = reference.resolve_char_ref().ok().flatten().filter(|c| !is_forbidden(*c))?;
        return Some(c.to_string().into());
    }
    resolve_predefined_entity(reference.as_ref()).map(Cow::Borrowed)
}

/// Characters outside `Char` of XML 1.0. A second byte order mark is one that nobody means.
fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// The longest name in bytes.
const NAME_MAX: usize = 128;

/// A plain ASCII name: no phone reads another.
fn is_name(name: &str) -> bool {
    let other = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.len() <= NAME_MAX && name.bytes().all(other)
}

/// White space of XML.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn line_at(text: &str, at: usize) -> usize {
    line(text.as_bytes().get(..at).unwrap_or_default())
}
