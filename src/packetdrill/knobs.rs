//! The names of sysctls, and the settings of the stack that they stand for.

use std::collections::BTreeMap;

use crate::config::Config;

/// Values by the names of sysctls (`net.ipv4.tcp_sack`). A name that means nothing here is kept and has no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    values: BTreeMap<String, String>,
}

impl Knobs {
    /// Sets one.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.replace('/', "."), value.trim().to_owned());
    }

    /// Those of `other` as well; they win.
    pub fn merge(&mut self, other: &Knobs) {
        self.values.extend(other.values.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// Lines of `name=value` or `name = value`; what is no such line is skipped.
    pub fn read(&mut self, text: &str) {
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            self.set(name.trim(), value);
        }
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The value of a name as a number.
    pub fn number(&self, name: &str) -> Option<i64> {
        let value = self.get(name)?;
        match value.strip_prefix("0x") {
            Some(hexadecimal) => i64::from_str_radix(hexadecimal, 16).ok(),
            None => value.parse().ok(),
        }
    }

    fn switch(&self, name: &str, setting: &mut bool) {
        if let Some(value) = self.number(name) {
            *setting = value != 0;
        }
    }

    /// Makes the settings what the values say.
    pub fn apply(&self, config: &mut Config) {
        let tcp = &mut config.tcp;
        self.switch("net.ipv4.tcp_sack", &mut tcp.sack);
        self.switch("net.ipv4.tcp_timestamps", &mut tcp.timestamps);
        self.switch("net.ipv4.tcp_window_scaling", &mut tcp.window_scaling);
        self.switch("net.ipv4.tcp_syncookies", &mut tcp.syn_cookies);
    }
}
