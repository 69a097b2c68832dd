//! Which worker has which media port.
//!
//! We choose the media ports, so the map is fixed here, and the network card is told to realise it
//! (a redirection table or flow rules); what it can't do, the workers hand on among themselves.

/// How many classes of ports there are: as many workers as divide the ports evenly, and few enough for
/// the flow rules of any card.
pub const CLASSES: u16 = 32;

/// The class of a UDP port. An RTP port and the RTCP port behind it are of one class.
pub const fn class_of(port: u16) -> u16 {
    (port >> 1) & (CLASSES - 1)
}

/// The worker, of `workers`, that has a media port. Both legs of a session have ports of one worker.
pub const fn worker_of(port: u16, workers: u32) -> u32 {
    let workers = if workers == 0 { 1 } else { workers };
    class_of(port) as u32 % workers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_and_rtcp_ports_have_the_same_worker_and_every_worker_has_ports() {
        for workers in 1..=16u32 {
            let mut ports = vec![0u32; workers as usize];
            for rtp in (0..u16::MAX).step_by(2) {
                let worker = worker_of(rtp, workers);
                assert_eq!(worker_of(rtp + 1, workers), worker);
                ports[worker as usize] += 1;
            }
            assert!(ports.iter().all(|count| *count > 0));
        }
        assert_eq!(worker_of(20_002, 0), 0);
    }
}
