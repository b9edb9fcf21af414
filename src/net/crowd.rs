//! A crowd: so many connections with something to send that one thread alone would keep the last ones waiting.
//!
//! A send costs some five microseconds, nearly all of them the kernel's, so the only way to be faster is on several cores.
//! The loop lends its connections for the length of the call and writes its own share; the other threads, `crowd`, end with it.
//! Not here: what a write that failed means, which the loop finds when it looks at each connection afterwards.

use std::sync::LazyLock;

use slab::Slab;

use super::conn::Conn;
use crate::base::thread::STACK_SMALL_BYTES;

/// Connections per thread, at least: below, starting a thread (some 50 µs) costs more than it saves.
const SHARE_MIN: usize = 128;
/// Threads that write, the loop's own among them.
const HANDS_MAX: usize = 4;
/// Cores of this host that may write.
static HANDS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(HANDS_MAX));

/// Writes once what the `count` connections marked as unsent have waiting, if they are enough to share.
pub(super) fn write_unsent<C: Send + Sync>(conns: &mut Slab<Conn<C>>, count: usize) {
    let hands = (*HANDS).min(count / SHARE_MIN);
    if hands < 2 {
        return;
    }
    let mut unsent: Vec<&mut Conn<C>> = conns.iter_mut().map(|(_, conn)| conn).filter(|conn| conn.is_unsent).collect();
    let share = unsent.len().div_ceil(hands).max(1);
    std::thread::scope(|scope| {
        let mut shares = unsent.chunks_mut(share);
        let own = shares.next();
        for share in shares {
            let helper = std::thread::Builder::new().name("crowd".into()).stack_size(STACK_SMALL_BYTES);
            // Without a thread the loop writes these, too, right afterwards.
            let _ = helper.spawn_scoped(scope, || write(share));
        }
        own.map(write);
    });
}

fn write<C>(conns: &mut [&mut Conn<C>]) {
    for conn in conns {
        // An error stays with the socket and comes again when the loop flushes.
        let _ = conn.outbox.flush(&mut conn.socket);
    }
}
