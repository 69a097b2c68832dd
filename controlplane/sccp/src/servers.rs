use std::borrow::{Borrow, BorrowMut};
use std::net::{IpAddr, Ipv4Addr};

use crate::address::{Address, Form};
use crate::layout::{Generation, choose};
use crate::registration::until_nul;
use crate::{FieldError, Frame, MessageId};

/// The list of call managers that a phone may use: ServerRes, 0x009E (sccp 2.6.3). Five names, then five ports, then five
/// addresses; an empty name or address is no server.
#[derive(Debug)]
pub struct Servers<F> {
    frame: F,
    form: Form,
}

/// One call manager of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name, at most [`Server::NAME_MAX`] bytes, in no particular encoding.
    pub name: Vec<u8>,
    /// Its TCP port.
    pub port: u16,
    /// Its address; [`IpAddr`] 0.0.0.0 for no server.
    pub address: IpAddr,
}

impl Server {
    /// Places in a list.
    pub const PLACES: usize = 5;
    /// Longest name, bytes.
    pub const NAME_MAX: usize = NAME_LEN - 1;

    /// An empty place in the list.
    pub fn none() -> Self {
        Self { name: Vec::new(), port: 0, address: IpAddr::V4(Ipv4Addr::UNSPECIFIED) }
    }
}

const NAME_LEN: usize = 48;
const PORTS: usize = Server::PLACES * NAME_LEN;
const ADDRESSES: usize = PORTS + Server::PLACES * 4;
const PLAIN_LEN: usize = ADDRESSES + Server::PLACES * 4;
const TYPED_LEN: usize = ADDRESSES + Server::PLACES * 20;

const GENERATIONS: &[Generation<Form>] = &[
    Generation { since: 17, needs: TYPED_LEN, usual: TYPED_LEN, kind: Some(ADDRESSES), fields: Form::Typed },
    Generation { since: 0, needs: 0, usual: 0, kind: None, fields: Form::Plain },
];

impl Frame {
    /// The frame as a list of call managers, `None` if it is another.
    pub fn servers(&self) -> Option<Servers<&Self>> {
        let form = server_form(self)?;
        Some(Servers { frame: self, form })
    }

    /// [`Frame::servers`], to be edited.
    pub fn servers_mut(&mut self) -> Option<Servers<&mut Self>> {
        let form = server_form(self)?;
        Some(Servers { frame: self, form })
    }
}

/// The form of a list's addresses. A list of protocol 17 is of an older generation if it is just as long as those [I]; another
/// that is too short is cut off, and its fields are beyond its end: taken for an older one, it would keep addresses that
/// nobody sees or overwrites.
fn server_form(frame: &Frame) -> Option<Form> {
    if frame.id() != MessageId::SERVER_RES {
        return None;
    }
    let form = *choose(GENERATIONS, frame)?;
    let cut_off = frame.version() >= 17 && frame.body().len() != PLAIN_LEN;
    Some(if cut_off { Form::Typed } else { form })
}

/// Bytes of body of a list for that header version.
pub(crate) fn body_len(version: u32) -> usize {
    if version >= 17 { TYPED_LEN } else { PLAIN_LEN }
}

impl<F: Borrow<Frame>> Servers<F> {
    /// The server at a place, 0 to 4; its name up to the first NUL.
    ///
    /// # Errors
    /// [`FieldError`]; [`FieldError::Invalid`] if it has no readable port or address, or there is no such place.
    pub fn get(&self, place: usize) -> Result<Server, FieldError> {
        let frame = self.frame.borrow();
        let at = self.places(place)?;
        let name = until_nul(frame.span("server name", at.name, NAME_LEN)?).to_vec();
        let port = u16::try_from(frame.word("server port", at.port)?);
        let port = port.map_err(|_| frame.invalid("server port"))?;
        let address = self.form.read(frame, "server address", at.address)?;
        let address = match address {
            Address::Invalid if name.is_empty() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            address => address.ip().ok_or_else(|| frame.invalid("server address"))?,
        };
        Ok(Server { name, port, address })
    }

    fn places(&self, place: usize) -> Result<Places, FieldError> {
        if place >= Server::PLACES {
            return Err(self.frame.borrow().invalid("place in the list of servers"));
        }
        Ok(Places {
            name: place * NAME_LEN,
            port: PORTS + place * 4,
            address: ADDRESSES + place * self.form.len(),
        })
    }
}

struct Places {
    name: usize,
    port: usize,
    address: usize,
}

impl<F: BorrowMut<Frame>> Servers<F> {
    /// Sets the server at a place, 0 to 4. All bytes of the three fields are overwritten.
    ///
    /// # Errors
    /// [`FieldError`]; the frame is unchanged then.
    pub fn set(&mut self, place: usize, server: &Server) -> Result<(), FieldError> {
        let at = self.places(place)?;
        let form = self.form;
        let frame = self.frame.borrow_mut();
        if server.name.len() > Server::NAME_MAX {
            let (length, room) = (server.name.len(), Server::NAME_MAX);
            return Err(FieldError::NoRoom { message: frame.id(), field: "server name", length, room });
        }
        frame.span("server name", at.name, NAME_LEN)?;
        frame.word("server port", at.port)?;
        form.write(frame, "server address", at.address, server.address)?;
        frame.put_word("server port", at.port, server.port.into())?;
        let mut name = server.name.clone();
        name.resize(NAME_LEN, 0);
        frame.put("server name", at.name, &name)
    }
}
