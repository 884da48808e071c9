//! What a host is told at its start.

use std::net::IpAddr;

use super::freebsd;
use super::knobs::Knobs;
use super::persona::Persona;
use crate::config::{Config, MIN_MTU_V6};
use crate::ip::IpCidr;

/// What a host is told at its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whose habits it has.
    pub persona: Persona,
    /// That was asked for; otherwise the names of settings may tell (see [`Settings::take`]).
    pub persona_asked: bool,
    /// Its addresses, from which it connects where a socket is not bound. It answers to all others as well.
    pub local: Vec<IpCidr>,
    /// The largest packet, in octets.
    pub mtu: usize,
    /// Octets of text in each segment that a larger packet was made of by the device, where it says so.
    pub segment: Option<u16>,
    /// What decides all that is random.
    pub seed: u64,
    /// Settings by the names of sysctls.
    pub knobs: Knobs,
}

/// The addresses that packetdrill chooses from, unless it is told others.
const LOCAL: [&str; 2] = ["192.168.0.1/16", "fd3d:fa7b:d17d::1/48"];

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            persona: Persona::default(),
            persona_asked: false,
            local: LOCAL.iter().filter_map(|text| text.parse().ok()).collect(),
            mtu: 1_500,
            segment: None,
            seed: 1,
            knobs: Knobs::default(),
        }
    }
}

impl Settings {
    /// From a line as `profile=linux,local=192.168.0.1/16,mtu=1500,net.ipv4.tcp_sack=0`. A `local` replaces the default one
    /// of its family.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what would be right.
    pub fn parse(line: &str) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for item in line.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let Some((key, value)) = item.split_once('=') else {
                return Err(format!("'{item}' is not of the form key=value"));
            };
            settings.set(key.trim(), value.trim())?;
        }
        settings.take(&Knobs::default());
        Ok(settings)
    }

    /// Its address of a family, in place of the one that it has, with the prefix that packetdrill's have.
    pub fn set_local(&mut self, address: IpAddr) {
        let prefix = if address.is_ipv6() { 48 } else { 16 };
        if let Ok(cidr) = format!("{address}/{prefix}").parse::<IpCidr>() {
            self.local.retain(|other| other.address.is_ipv6() != address.is_ipv6());
            self.local.push(cidr);
        }
    }

    /// Takes over settings by the names of sysctls. Where no persona was asked for, names of FreeBSD's ask for its habits.
    pub fn take(&mut self, knobs: &Knobs) {
        self.knobs.merge(knobs);
        if !self.persona_asked && self.knobs.has(freebsd::NAMES) {
            self.persona = Persona::FreeBsd;
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u64>().map_err(|_| format!("{key}={value}: a number is expected"));
        match key {
            "profile" | "persona" => {
                self.persona = value.parse()?;
                self.persona_asked = true;
            }
            "mtu" => self.mtu = number()? as usize,
            "seed" => self.seed = number()?,
            "local" => {
                let cidr: IpCidr = value.parse()?;
                self.local.retain(|other| other.address.is_ipv6() != cidr.address.is_ipv6());
                self.local.push(cidr);
            }
            _ if key.contains('.') => self.knobs.set(key, value),
            _ => {
                return Err(format!(
                    "unknown setting '{key}': there are profile, local, mtu, seed, and sysctls by their whole names"
                ));
            }
        }
        Ok(())
    }

    /// Octets of a send buffer that nobody has limited: at first, and at most.
    pub(super) fn send_bounds(&self) -> (u32, u32) {
        let wmem = self.knobs.list("net.ipv4.tcp_wmem");
        (wmem.get(1).copied().unwrap_or(256 << 10), wmem.get(2).copied().unwrap_or(4 << 20))
    }

    /// The settings of the stack that they stand for.
    pub fn config(&self) -> Config {
        // IPv6 wants a larger one (RFC 8200 section 5).
        let local = self.local.iter().filter(|cidr| self.mtu >= MIN_MTU_V6 || !cidr.address.is_ipv6());
        let local: Vec<IpCidr> = local.copied().collect();
        let mut config = Config { mtu: self.mtu, any_address: true, ..Config::new(&local) };
        self.persona.apply(&mut config);
        self.knobs.apply(&mut config);
        if self.persona == Persona::FreeBsd {
            freebsd::apply_insecure(&self.knobs, &mut config);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_settings() {
        let settings = Settings::parse("profile=rfc, local=10.1.2.3/8,mtu=1400,net.ipv4.tcp_sack=0").unwrap();
        assert_eq!((settings.persona, settings.mtu), (Persona::Rfc, 1_400));
        assert_eq!(settings.local.len(), 2);
        assert!(settings.local.contains(&"10.1.2.3/8".parse().unwrap()));
        assert!(!settings.config().tcp.sack);
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
        // Names tell the persona where none was asked for, and what is insecure is that one's alone.
        for (line, persona, insecure) in [
            ("net.inet.tcp.insecure_rst=1", Persona::FreeBsd, true),
            ("profile=freebsd,net.inet.tcp.insecure_rst=0", Persona::FreeBsd, false),
            ("net.inet.tcp.insecure_rst=1,profile=rfc", Persona::Rfc, false),
            ("net.ipv4.tcp_sack=1", Persona::Linux, false),
        ] {
            let settings = Settings::parse(line).unwrap();
            assert_eq!(
                (settings.persona, settings.config().tcp.habits.resets.insecure_rst),
                (persona, insecure),
                "{line}"
            );
        }
        for (line, says) in
            [("mtu", "key=value"), ("mtu=x", "number"), ("mss=5", "there are"), ("profile=os2", "linux")]
        {
            let error = Settings::parse(line).unwrap_err();
            assert!(error.contains(says), "{line}: {error}");
        }
    }
}
