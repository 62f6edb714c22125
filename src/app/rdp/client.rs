//! The client's description of itself: T.125 Connect-Initial with a GCC conference request inside
//! ([MS-RDPBCGR] §2.2.1.3), of which the core data and the channels are read.

use crate::alert::Json;
use crate::app::reader::Reader;

/// Channels a client may ask for (§2.2.1.3.4).
const CHANNELS_MAX: usize = 31;
/// Header types of the data blocks (§2.2.1.3.1).
const CORE: u16 = 0xc001;
const NET: u16 = 0xc003;

/// What a client says of itself.
#[derive(Debug, Default)]
pub(super) struct Client {
    core: Option<Core>,
    channels: Vec<Vec<u8>>,
}

/// Core data (§2.2.1.3.2), as far as EVE has members for it. What comes after the IME name is optional, each part only
/// with those before it.
#[derive(Debug, Default)]
struct Core {
    version: u32,
    width: u16,
    height: u16,
    color_depth: u16,
    keyboard_layout: u32,
    build: u32,
    name: Vec<u8>,
    keyboard_type: u32,
    function_keys: u32,
    post_beta2_depth: Option<u16>,
    product_id: Option<u16>,
    high_depth: Option<u16>,
    capabilities: Option<u16>,
    id: Option<Vec<u8>>,
}

/// Reads a Connect-Initial from its tag on.
pub(super) fn read(bytes: &[u8]) -> Option<Client> {
    let mut r = Reader::new(bytes);
    r.skip(2)?;
    let _ = ber_len(&mut r)?;
    // Two selectors, the upward flag and three sets of parameters come before the user data.
    for _ in 0..6 {
        r.skip(1)?;
        let len = ber_len(&mut r)?;
        r.skip(len)?;
    }
    if r.u8()? != 4 {
        return None;
    }
    let len = ber_len(&mut r)?;
    let mut data = r.part(len.min(r.left()))?;
    // GCC: object key {itu-t 0 20 124 0 1}, then the conference request up to the key "Duca" and a PER length.
    let at = memchr::memmem::find(data.rest(), b"Duca")?;
    data.skip(at + 4)?;
    if data.u8()? & 0x80 != 0 {
        data.skip(1)?;
    }
    Some(blocks(data.rest()))
}

/// Reads data blocks, each with type and length in front.
pub(super) fn blocks(bytes: &[u8]) -> Client {
    let mut client = Client::default();
    let mut r = Reader::new(bytes);
    while let (Some(kind), Some(len)) = (r.u16_le(), r.u16_le()) {
        let Some(block) = usize::from(len)
            .checked_sub(4)
            .and_then(|len| r.part(len.min(r.left())))
        else {
            break;
        };
        match kind {
            CORE => client.core = core(block),
            NET => client.channels = channels(block).unwrap_or_default(),
            _ => {}
        }
    }
    client
}

/// A length of BER: short, or long in at most three bytes.
fn ber_len(r: &mut Reader<'_>) -> Option<usize> {
    let first = r.u8()?;
    match first {
        0..=0x7f => Some(usize::from(first)),
        0x81..=0x83 => {
            let mut len = 0;
            for _ in 0..first & 0x7f {
                len = len << 8 | usize::from(r.u8()?);
            }
            Some(len)
        }
        _ => None,
    }
}

/// UTF-16 text up to its zero.
fn wide(bytes: &[u8]) -> Vec<u8> {
    let units: Vec<u16> = bytes
        .chunks_exact(2)
        .filter_map(|pair| {
            pair.first_chunk::<2>()
                .map(|pair| u16::from_le_bytes(*pair))
        })
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16_lossy(&units).into_bytes()
}

fn core(mut r: Reader<'_>) -> Option<Core> {
    let mut core = Core {
        version: r.u32_le()?,
        width: r.u16_le()?,
        height: r.u16_le()?,
        color_depth: r.u16_le()?,
        ..Core::default()
    };
    r.skip(2)?;
    core.keyboard_layout = r.u32_le()?;
    core.build = r.u32_le()?;
    core.name = wide(r.take(32)?);
    core.keyboard_type = r.u32_le()?;
    r.skip(4)?;
    core.function_keys = r.u32_le()?;
    r.skip(64)?;
    let _ = optional(&mut core, r);
    Some(core)
}

fn optional(core: &mut Core, mut r: Reader<'_>) -> Option<()> {
    core.post_beta2_depth = Some(r.u16_le()?);
    core.product_id = Some(r.u16_le()?);
    r.skip(4)?;
    core.high_depth = Some(r.u16_le()?);
    r.skip(2)?;
    core.capabilities = Some(r.u16_le()?);
    core.id = Some(wide(r.take(64)?));
    Some(())
}

fn channels(mut r: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let count = (r.u32_le()? as usize).min(CHANNELS_MAX);
    let mut names = Vec::new();
    for _ in 0..count {
        let name = r.take(8)?;
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        names.push(name.get(..end)?.to_vec());
        r.skip(4)?;
    }
    Some(names)
}

/// Early capability flags (§2.2.1.3.2).
const CAPABILITIES: [(u16, &str); 10] = [
    (0x001, "support_errinfo_pdf"),
    (0x002, "want_32bpp_session"),
    (0x004, "support_statusinfo_pdu"),
    (0x008, "strong_asymmetric_keys"),
    (0x020, "valid_connection_type"),
    (0x040, "support_monitor_layout_pdu"),
    (0x080, "support_netchar_autodetect"),
    (0x100, "support_dynvc_gfx_protocol"),
    (0x200, "support_dynamic_time_zone"),
    (0x400, "support_heartbeat_pdu"),
];

/// Keyboard types (§2.2.1.3.2), from 1.
const KEYBOARDS: [&str; 7] = ["xt", "ico", "at", "enhanced", "1050", "9140", "jp"];

/// Names of keyboard layouts by their language identifier ([MS-LCID] §2.2), the usual ones.
const LAYOUTS: &[(u16, &str)] = &[
    (0x0401, "ar-SA"),
    (0x0402, "bg-BG"),
    (0x0404, "zh-TW"),
    (0x0405, "cs-CZ"),
    (0x0406, "da-DK"),
    (0x0407, "de-DE"),
    (0x0408, "el-GR"),
    (0x0409, "en-US"),
    (0x040a, "es-ES_tradnl"),
    (0x040b, "fi-FI"),
    (0x040c, "fr-FR"),
    (0x040d, "he-IL"),
    (0x040e, "hu-HU"),
    (0x040f, "is-IS"),
    (0x0410, "it-IT"),
    (0x0411, "ja-JP"),
    (0x0412, "ko-KR"),
    (0x0413, "nl-NL"),
    (0x0414, "nb-NO"),
    (0x0415, "pl-PL"),
    (0x0416, "pt-BR"),
    (0x0418, "ro-RO"),
    (0x0419, "ru-RU"),
    (0x041a, "hr-HR"),
    (0x041b, "sk-SK"),
    (0x041d, "sv-SE"),
    (0x041e, "th-TH"),
    (0x041f, "tr-TR"),
    (0x0421, "id-ID"),
    (0x0422, "uk-UA"),
    (0x0424, "sl-SI"),
    (0x0425, "et-EE"),
    (0x0426, "lv-LV"),
    (0x0427, "lt-LT"),
    (0x0429, "fa-IR"),
    (0x042a, "vi-VN"),
    (0x0439, "hi-IN"),
    (0x0804, "zh-CN"),
    (0x0807, "de-CH"),
    (0x0809, "en-GB"),
    (0x080a, "es-MX"),
    (0x080c, "fr-BE"),
    (0x0810, "it-CH"),
    (0x0813, "nl-BE"),
    (0x0816, "pt-PT"),
    (0x0c04, "zh-HK"),
    (0x0c07, "de-AT"),
    (0x0c09, "en-AU"),
    (0x0c0a, "es-ES"),
    (0x0c0c, "fr-CA"),
    (0x1004, "zh-SG"),
    (0x1009, "en-CA"),
    (0x100c, "fr-CH"),
    (0x1409, "en-NZ"),
    (0x4009, "en-IN"),
];

/// Builds of Windows (Microsoft's list of releases).
const BUILDS: &[(u16, &str)] = &[
    (528, "Windows NT 3.1"),
    (807, "Windows NT 3.5"),
    (1057, "Windows NT 3.51"),
    (1381, "Windows NT 4.0"),
    (2195, "Windows 2000"),
    (2600, "Windows XP"),
    (3790, "Windows Server 2003"),
    (6000, "Windows Vista RTM"),
    (6001, "Windows Vista SP1"),
    (6002, "Windows Vista SP2"),
    (7600, "Windows 7 RTM"),
    (7601, "Windows 7 SP1"),
    (9200, "Windows 8"),
    (9600, "Windows 8.1"),
    (10240, "Windows 10 TH1"),
    (10586, "Windows 10 TH2"),
    (14393, "Windows 10 RS1"),
    (15063, "Windows 10 RS2"),
    (16299, "Windows 10 RS3"),
    (17134, "Windows 10 RS4"),
    (17763, "Windows 10 RS5"),
];

impl Client {
    /// Writes `client` and `channels`.
    pub fn log(&self, json: &mut Json<'_>) {
        if let Some(core) = &self.core {
            core.log(json);
        }
        if !self.channels.is_empty() {
            json.array("channels");
            for channel in &self.channels {
                json.text(channel);
            }
            json.end_array();
        }
    }
}

impl Core {
    fn log(&self, json: &mut Json<'_>) {
        let version = match self.version {
            0x80001 => "v4".to_owned(),
            0x80004 => "v5".to_owned(),
            n @ 0x80005..=0x8000c => format!("v10.{}", n - 0x80005),
            _ => "unknown".to_owned(),
        };
        json.object("client")
            .str("version", version)
            .num("desktop_width", self.width)
            .num("desktop_height", self.height);
        if let Some(depth) = self.depth() {
            json.num("color_depth", depth);
        }
        let named = |list: &[(u16, &'static str)], number: u32| {
            u16::try_from(number)
                .ok()
                .and_then(|number| list.iter().find(|(known, _)| *known == number))
                .map_or("unknown", |(_, name)| *name)
        };
        json.str("keyboard_layout", named(LAYOUTS, self.keyboard_layout))
            .str("build", named(BUILDS, self.build & 0xffff));
        if !self.name.is_empty() {
            json.str("client_name", &self.name);
        }
        let keyboard = (self.keyboard_type as usize)
            .checked_sub(1)
            .and_then(|at| KEYBOARDS.get(at));
        if let Some(keyboard) = keyboard {
            json.str("keyboard_type", keyboard);
        }
        if self.function_keys != 0 {
            json.num("function_keys", self.function_keys);
        }
        if let Some(id) = self.product_id {
            json.num("product_id", id);
        }
        self.log_capabilities(json);
        if let Some(id) = self.id.as_ref().filter(|id| !id.is_empty()) {
            json.str("id", id);
        }
        json.end();
    }

    fn log_capabilities(&self, json: &mut Json<'_>) {
        let flags = self.capabilities.unwrap_or(0);
        if CAPABILITIES.iter().all(|(bit, _)| flags & bit == 0) {
            return;
        }
        json.array("capabilities");
        for (_, name) in CAPABILITIES.iter().filter(|(bit, _)| flags & bit != 0) {
            json.text(name);
        }
        json.end_array();
    }

    /// Bits a pixel: the newest of the three places that say it.
    fn depth(&self) -> Option<u16> {
        let high = self.high_depth.filter(|d| [4, 8, 15, 16, 24].contains(d));
        let old = |code: u16| match code {
            0xca00 => Some(4),
            0xca01 => Some(8),
            0xca02 => Some(15),
            0xca03 => Some(16),
            0xca04 => Some(24),
            _ => None,
        };
        high.or_else(|| self.post_beta2_depth.and_then(old))
            .or_else(|| old(self.color_depth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_data_and_channels() {
        let mut block = vec![0x04, 0, 8, 0, 0x20, 3, 0x58, 2, 1, 0xca, 3, 0xaa];
        block.extend(0x409u32.to_le_bytes());
        block.extend(2600u32.to_le_bytes());
        let mut name = "PC"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>();
        name.resize(32, 0);
        block.extend(name);
        block.extend([4, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0]);
        block.resize(block.len() + 64, 0);
        let mut data = CORE.to_le_bytes().to_vec();
        data.extend((block.len() as u16 + 4).to_le_bytes());
        data.extend(block);
        data.extend(NET.to_le_bytes());
        data.extend([20, 0, 1, 0, 0, 0]);
        data.extend(b"rdpdr\0\0\0\0\0\0\x80");
        let client = blocks(&data);
        let mut out = Vec::new();
        let mut json = Json::new(&mut out);
        json.begin();
        client.log(&mut json);
        json.end();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["client"]["version"], "v5");
        assert_eq!(value["client"]["build"], "Windows XP");
        assert_eq!(value["client"]["client_name"], "PC");
        assert_eq!(value["client"]["color_depth"], 8);
        assert_eq!(value["client"]["keyboard_layout"], "en-US");
        assert_eq!(value["channels"][0], "rdpdr");
        for len in 0..data.len() {
            let _ = blocks(&data[..len]);
        }
    }
}
