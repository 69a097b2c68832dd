//! The verdict about a phone's certificate.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use regex::Regex;
use x509_parser::prelude::ASN1Time;

use crate::authority::{Authority, Expired, Kind, Listener};
use crate::certificate::{Certificate, CertificateId};
use crate::crl::{Crl, Overdue};
use crate::key::{Hash, KeyKind, PublicKey, RSA_BITS, RSA_BITS_LEGACY};
use crate::path::{CHAIN_MAX, Path, Search};
use crate::refusal::{Refusal, Refused};

/// As much of a refused common name is shown.
const SHOWN: usize = 64;

/// Judges certificates. Any thread may use it.
#[derive(Debug)]
pub struct Verifier {
    pub(crate) authorities: Vec<Authority>,
    /// Lists, each beside the authority that has signed it.
    pub(crate) crls: Vec<(Certificate, Crl)>,
    pub(crate) overdue: Overdue,
    /// Names of clusters, and which devices are theirs; the first match counts.
    pub(crate) clusters: Vec<(String, Regex)>,
}

/// Where, when and by whom a certificate is shown.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// Where.
    pub listener: Listener,
    /// When.
    pub now: SystemTime,
    /// Whether a certificate is pinned for a device: then it may have expired, where its authority's policy says so.
    pub pinned: &'a dyn Fn(&str, &CertificateId) -> bool,
}

/// A certificate that is trusted, and what it says.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The device: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub device: Box<str>,
    /// By what the certificate is recognised.
    pub certificate: CertificateId,
    /// Its DER.
    pub der: Box<[u8]>,
    /// Its key. That the phone holds it is still to be proven.
    pub key: PublicKey,
    /// What it is.
    pub kind: Kind,
    /// The authority whose root it leads to.
    pub authority: Arc<str>,
    /// Whether that authority's phones may have weak keys.
    pub legacy: bool,
    /// Whether it, or an authority on the way, has expired; it is pinned then.
    pub is_expired: bool,
    /// Whether a revocation list that was looked at is overdue.
    pub crl_overdue: bool,
}

impl Verifier {
    /// Judges a chain (DER each, the phone's certificate first, the others in any order).
    ///
    /// # Errors
    /// Why it is refused. Of several ways to an authority, the one that came farthest says it.
    pub fn verify(&self, chain: &[&[u8]], at: &At<'_>) -> Result<Verified, Box<Refused>> {
        let refused = |refusal| Box::new(Refused { device: None, certificate: None, refusal });
        let invalid = |why: String| refused(Refusal::Invalid(why));
        let (phone, others) =
            chain.split_first().ok_or_else(|| invalid("there is no certificate".to_owned()))?;
        let phone = Certificate::parse(phone).map_err(|error| invalid(error.to_string()))?;
        self.judge(&phone, others, at).map_err(|refusal| {
            let device = phone.common_name().and_then(|name| self.claimed(name)).map(Into::into);
            Box::new(Refused { device, certificate: Some(phone.id().clone()), refusal })
        })
    }

    /// The subjects of the roots that count at a listener, DER each: a phone may choose its certificate by them.
    pub fn subjects(&self, listener: Listener) -> impl Iterator<Item = &[u8]> {
        let here = self.authorities.iter().filter(move |authority| authority.counts_at(listener));
        here.flat_map(|authority| authority.roots.iter().map(Certificate::subject))
    }

    /// What an operator should know: roots that have expired, lists that are overdue. One line each.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let now = seconds(now);
        let roots = self.authorities.iter().flat_map(|of| of.roots.iter().map(move |root| (&of.name, root)));
        let expired = roots.filter(|(_, root)| root.not_after() < now).map(|(name, root)| {
            let (subject, since) = (root.subject_text(), time(root.not_after()));
            format!("authority {name}: the root {subject} has expired, {since}, and with it every certificate below")
        });
        let overdue = self.crls.iter().filter(|(_, crl)| crl.is_overdue(now)).map(|(_, crl)| {
            format!(
                "the revocation list of {} is overdue: put a newer one in its place, and reload",
                crl.issuer_text()
            )
        });
        expired.chain(overdue).collect()
    }

    fn judge(&self, phone: &Certificate, others: &[&[u8]], at: &At<'_>) -> Result<Verified, Refusal> {
        if others.len() >= CHAIN_MAX {
            return Err(Refusal::ChainTooLong);
        }
        let shown: Vec<_> = others
            .iter()
            .map(|der| Certificate::parse(der))
            .collect::<Result<_, _>>()
            .map_err(|error| Refusal::Invalid(format!("of an authority that it came with: {error}")))?;
        let here: Vec<_> = self.authorities.iter().filter(|of| of.counts_at(at.listener)).collect();
        let intermediates: Vec<_> =
            shown.iter().chain(here.iter().flat_map(|of| &of.intermediates)).collect();
        let mut search = Search::new(&here, &intermediates);
        let mut farthest: Option<(usize, Refusal)> = None;
        let verdict = search.visit(&mut vec![phone], &mut |path| match self.judge_path(path, at) {
            Ok(verified) => ControlFlow::Break(verified),
            Err((step, refusal)) => {
                if farthest.as_ref().is_none_or(|(before, _)| *before < step) {
                    farthest = Some((step, refusal));
                }
                ControlFlow::Continue(())
            }
        });
        match verdict {
            ControlFlow::Break(verified) => Ok(verified),
            ControlFlow::Continue(()) if farthest.is_none() && search.was_cut => Err(Refusal::ChainTooLong),
            ControlFlow::Continue(()) => {
                Err(farthest.map_or_else(|| unknown(phone, &intermediates, at), |(_, refusal)| refusal))
            }
        }
    }

    /// The verdict about one way, or how many rules it kept before one was broken.
    fn judge_path(&self, path: &Path<'_>, at: &At<'_>) -> Result<Verified, (usize, Refusal)> {
        let now = seconds(at.now);
        let mut crl_overdue = false;
        let rules: [&mut dyn FnMut() -> Result<(), Refusal>; 5] = [
            &mut || signatures(path, at),
            &mut || constraints(path),
            &mut || strength(path),
            &mut || self.revocation(path, now).map(|is_overdue| crl_overdue = is_overdue),
            &mut || not_yet_valid(path, now),
        ];
        let passed = rules.len();
        for (step, rule) in rules.into_iter().enumerate() {
            rule().map_err(|refusal| (step, refusal))?;
        }
        let (device, kind) = name(path).map_err(|refusal| (passed, refusal))?;
        let Path { authority, certificates, .. } = path;
        if !authority.counts_for(self.cluster_of(device)) {
            let (authority, device) = (authority.name.to_string(), device.to_owned());
            return Err((passed + 1, Refusal::OtherCluster { authority, device }));
        }
        let phone = certificates.first().copied().unwrap_or(path.root);
        let expired = expired(path, now);
        if let Some(refusal) = &expired
            && !(authority.expired == Expired::AcceptPinned && (at.pinned)(device, phone.id()))
        {
            return Err((passed + 2, refusal.clone()));
        }
        Ok(Verified {
            device: device.into(),
            certificate: phone.id().clone(),
            der: phone.der().into(),
            key: phone.key().clone(),
            kind,
            authority: Arc::clone(&authority.name),
            legacy: authority.legacy,
            is_expired: expired.is_some(),
            crl_overdue,
        })
    }

    /// Whether a list that was looked at is overdue.
    fn revocation(&self, path: &Path<'_>, now: i64) -> Result<bool, Refusal> {
        let mut is_any_overdue = false;
        for (certificate, issuer) in path.links() {
            let lists = || {
                let lists = self.crls.iter();
                lists.filter(|(of, _)| of.subject() == issuer.subject() && of.key().is(issuer.key()))
            };
            if lists().any(|(_, crl)| crl.has(&certificate.id().serial)) {
                let (of, issuer) = (of(certificate), issuer.subject_text().to_owned());
                return Err(Refusal::Revoked { of, issuer });
            }
            let is_overdue = lists().next().is_some() && lists().all(|(_, crl)| crl.is_overdue(now));
            if is_overdue && self.overdue == Overdue::Refuse {
                return Err(Refusal::CrlOverdue { issuer: issuer.subject_text().to_owned() });
            }
            is_any_overdue |= is_overdue;
        }
        Ok(is_any_overdue)
    }

    fn cluster_of(&self, device: &str) -> Option<&str> {
        let cluster = self.clusters.iter().find(|(_, devices)| devices.is_match(device));
        cluster.map(|(name, _)| name.as_str())
    }

    /// The device that a common name stands for, by any authority.
    fn claimed<'n>(&self, common_name: &'n str) -> Option<&'n str> {
        self.authorities.iter().find_map(|of| of.device(common_name)).map(|(device, _)| device)
    }
}

impl<'p> Path<'p> {
    /// Each certificate with its issuer, from the root down.
    fn links(&self) -> impl Iterator<Item = (&'p Certificate, &'p Certificate)> {
        let issuers = self.certificates.iter().skip(1).copied().chain([self.root]);
        let links: Vec<_> = self.certificates.iter().copied().zip(issuers).collect();
        links.into_iter().rev()
    }

    /// All, the root first.
    fn all(&self) -> impl Iterator<Item = &'p Certificate> {
        [self.root].into_iter().chain(self.certificates.iter().rev().copied())
    }
}

fn signatures(path: &Path<'_>, at: &At<'_>) -> Result<(), Refusal> {
    for (certificate, issuer) in path.links() {
        if certificate.algorithm().is_none() {
            let (of, name) = (of(certificate), certificate.algorithm_name());
            return Err(Refusal::Invalid(format!("{of} is signed in a way that is not accepted ({name})")));
        }
        if !issuer.has_signed(certificate) {
            let by = issuer.subject_text();
            if certificate.names_key_of(issuer) {
                let of = of(certificate);
                return Err(Refusal::Invalid(format!("the signature of {of} is not that of {by}")));
            }
            // Another authority has the same name.
            let issuer = format!("{by} with another key than the one known");
            return Err(Refusal::UnknownCa { issuer, listener: at.listener.name() });
        }
    }
    Ok(())
}

fn constraints(path: &Path<'_>) -> Result<(), Refusal> {
    let mut below = 0;
    for (at, certificate) in path.certificates.iter().copied().chain([path.root]).enumerate() {
        let is_root = at == path.certificates.len();
        let unfit = match at {
            0 => certificate.unfit_for_phone(),
            _ => certificate.unfit_for_issuer(below, is_root),
        };
        if let Some(why) = unfit {
            return Err(Refusal::Constraints { of: of(certificate), why });
        }
        below += usize::from(at > 0 && !certificate.is_self_issued());
    }
    Ok(())
}

fn strength(path: &Path<'_>) -> Result<(), Refusal> {
    let authority = path.authority;
    let weak = |certificate: &Certificate, what: String| {
        Err(Refusal::Weak { of: of(certificate), what, authority: authority.name.to_string() })
    };
    for certificate in path.all() {
        if let Some(what) = weak_key(certificate, authority.legacy) {
            return weak(certificate, what);
        }
    }
    for certificate in path.certificates {
        if certificate.algorithm().map(|of| of.hash()) == Some(Hash::Sha1) && !authority.legacy {
            return weak(certificate, "a signature by SHA-1".into());
        }
    }
    Ok(())
}

/// What is too weak of a key.
pub(crate) fn weak_key(certificate: &Certificate, legacy: bool) -> Option<String> {
    let least = if legacy { RSA_BITS_LEGACY } else { RSA_BITS };
    match certificate.key().kind() {
        KeyKind::Rsa(bits) if bits < least => Some(format!("an RSA key of {bits} bits")),
        KeyKind::Rsa(_) | KeyKind::Ec(_) => None,
    }
}

fn not_yet_valid(path: &Path<'_>, now: i64) -> Result<(), Refusal> {
    match path.all().find(|certificate| now < certificate.not_before()) {
        Some(early) => Err(Refusal::NotYetValid { of: of(early), from: time(early.not_before()) }),
        None => Ok(()),
    }
}

fn expired(path: &Path<'_>, now: i64) -> Option<Refusal> {
    let late = path.all().find(|certificate| certificate.not_after() < now)?;
    let authority = path.authority.name.to_string();
    Some(Refusal::Expired { of: of(late), since: time(late.not_after()), authority })
}

fn name<'p>(path: &Path<'p>) -> Result<(&'p str, Kind), Refusal> {
    let common_name = path.certificates.first().and_then(|phone| phone.common_name());
    common_name.and_then(|name| path.authority.device(name)).ok_or_else(|| Refusal::Name {
        common_name: match common_name {
            Some(name) => format!("\"{}\"", name.chars().take(SHOWN).collect::<String>().escape_debug()),
            None => "(there is none, or more than one)".into(),
        },
        authority: path.authority.name.to_string(),
    })
}

/// Says which issuer was not found.
fn unknown(phone: &Certificate, intermediates: &[&Certificate], at: &At<'_>) -> Refusal {
    let mut last = phone;
    for _ in 0..intermediates.len() {
        match intermediates.iter().find(|next| last.may_be_issued_by(next) && !last.is_self_issued()) {
            Some(next) => last = next,
            None => break,
        }
    }
    Refusal::UnknownCa { issuer: last.id().issuer.to_string(), listener: at.listener.name() }
}

fn of(certificate: &Certificate) -> String {
    certificate.subject_text().to_owned()
}

fn time(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
