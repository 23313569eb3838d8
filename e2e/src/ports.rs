//! Ports for processes that can't be handed a socket: emulators and operators.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::{Error, Result};

/// The first of the ports given out here, and how many there are. They lie below those that kernels take for outgoing
/// connections and for "any port" (Linux: from 32768), and above those of `free_ports` in `lib.sh`. Otherwise somebody
/// else of this machine may get the port between our look and the bind of the process that it is for; a test then
/// talks to a stranger, such as the emulator of another test.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A loopback address that nobody listens on, given out once only.
///
/// # Errors
/// When none of the next hundred ports is free.
pub fn free_address() -> Result<SocketAddr> {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Two test processes at the same time begin at different places.
    let start = u16::try_from(std::process::id() * 37 % u32::from(COUNT))?;
    for _ in 0..100 {
        let offset = start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(Error::from(
        "a hundred ports in a row are taken on the loopback interface",
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    // One test: two at a time would bind each other's ports.
    #[test]
    fn an_address_is_given_out_once_and_neither_one_in_use_nor_one_that_kernels_give_to_others() {
        let first = free_address().unwrap();
        let stranger = SocketAddr::from((first.ip(), first.port() + 1));
        let _listening = TcpListener::bind(stranger).unwrap();
        let given: Vec<SocketAddr> = (0..500).map(|_| free_address().unwrap()).collect();
        let mut distinct: BTreeSet<&SocketAddr> = given.iter().collect();
        assert_eq!(distinct.len(), given.len());
        assert!(!distinct.contains(&first) && !distinct.contains(&stranger));
        distinct.retain(|address| !(FIRST..FIRST + COUNT).contains(&address.port()));
        assert_eq!(distinct, BTreeSet::new());
    }
}
