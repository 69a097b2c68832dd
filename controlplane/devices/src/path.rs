//! Ways from a phone's certificate to a root, by names and key identifiers (RFC 4158). No signature is verified on the
//! way: that is done from the root down, so that no key is used before it is trusted.

use std::ops::ControlFlow;

use crate::authority::Authority;
use crate::certificate::Certificate;

/// The most certificates from a phone's to its root, both counted.
pub const DEPTH_MAX: usize = 8;
/// The most certificates that a phone may show.
pub const CHAIN_MAX: usize = 10;
/// The most steps of a search: certificates of one name could be put together in very many ways.
const STEPS_MAX: usize = 128;

/// A way.
pub(crate) struct Path<'p> {
    /// The phone's certificate, then authorities, without the root.
    pub certificates: &'p [&'p Certificate],
    pub root: &'p Certificate,
    pub authority: &'p Authority,
}

/// A search for ways.
pub(crate) struct Search<'a> {
    pub authorities: &'a [&'a Authority],
    pub intermediates: &'a [&'a Certificate],
    pub steps: usize,
    /// Ways were left out since they were too long or too many.
    pub was_cut: bool,
}

impl<'a> Search<'a> {
    pub fn new(authorities: &'a [&'a Authority], intermediates: &'a [&'a Certificate]) -> Self {
        Self { authorities, intermediates, steps: 0, was_cut: false }
    }

    /// Shows each way to `visit`, until it breaks. Begins with the shortest continuation of each certificate.
    pub fn visit<T>(
        &mut self,
        path: &mut Vec<&'a Certificate>,
        visit: &mut dyn FnMut(&Path<'_>) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        let Some(last) = path.last().copied() else { return ControlFlow::Continue(()) };
        let is_in = |path: &[&Certificate], one: &Certificate| path.iter().any(|of| of.der() == one.der());
        for authority in self.authorities.iter().copied() {
            let roots = authority.roots.iter();
            for root in roots.filter(|root| last.may_be_issued_by(root) && !is_in(path, root)) {
                if !self.step() {
                    return ControlFlow::Continue(());
                }
                visit(&Path { certificates: path, root, authority })?;
            }
        }
        for next in self.intermediates.iter().copied() {
            if !last.may_be_issued_by(next) || is_in(path, next) {
                continue;
            }
            // One place is the root's.
            if path.len() + 1 >= DEPTH_MAX || !self.step() {
                self.was_cut = true;
                return ControlFlow::Continue(());
            }
            path.push(next);
            let shown = self.visit(path, visit);
            path.pop();
            shown?;
        }
        ControlFlow::Continue(())
    }

    fn step(&mut self) -> bool {
        self.steps += 1;
        self.was_cut |= self.steps > STEPS_MAX;
        self.steps <= STEPS_MAX
    }
}
