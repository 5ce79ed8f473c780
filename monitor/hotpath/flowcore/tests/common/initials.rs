//! Initials by hand, and those of the RFCs. Not a part of `common`: the fuzz targets have no cryptography.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes_gcm::{AeadInOut, Aes128Gcm};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::common::hex;

pub const V1: u32 = 1;
pub const V2: u32 = 0x6b33_43cf;

/// The id that all vectors of RFC 9001 and RFC 9369 are made with.
pub const DCID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

/// The CRYPTO frame in the client's Initials of RFC 9001 appendix A.2 and RFC 9369 appendix A.2.
pub const RFC9001_FRAME: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b\
69484c00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007\
000504616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec\
74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffff\
ff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";

/// RFC 9001 appendix A.2: the client's Initial, protected.
pub const RFC9001_A2: &str =
    "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27\
cd449f63300099f3991c260ec4c60d17b31f8429157bb35a1282a643a8d2262cad67500cadb8e7378c8eb7539ec4d4905fed1bee1fc8aa\
fba17c750e2c7ace01e6005f80fcb7df621230c83711b39343fa028cea7f7fb5ff89eac2308249a02252155e2347b63d58c5457afd84d0\
5dfffdb20392844ae812154682e9cf012f9021a6f0be17ddd0c2084dce25ff9b06cde535d0f920a2db1bf362c23e596d11a4f5a6cf3948\
838a3aec4e15daf8500a6ef69ec4e3feb6b1d98e610ac8b7ec3faf6ad760b7bad1db4ba3485e8a94dc250ae3fdb41ed15fb6a8e5eba0fc\
3dd60bc8e30c5c4287e53805db059ae0648db2f64264ed5e39be2e20d82df566da8dd5998ccabdae053060ae6c7b4378e846d29f37ed7b\
4ea9ec5d82e7961b7f25a9323851f681d582363aa5f89937f5a67258bf63ad6f1a0b1d96dbd4faddfcefc5266ba6611722395c906556be\
52afe3f565636ad1b17d508b73d8743eeb524be22b3dcbc2c7468d54119c7468449a13d8e3b95811a198f3491de3e7fe942b330407abf8\
2a4ed7c1b311663ac69890f4157015853d91e923037c227a33cdd5ec281ca3f79c44546b9d90ca00f064c99e3dd97911d39fe9c5d0b23a\
229a234cb36186c4819e8b9c5927726632291d6a418211cc2962e20fe47feb3edf330f2c603a9d48c0fcb5699dbfe5896425c5bac4aee8\
2e57a85aaf4e2513e4f05796b07ba2ee47d80506f8d2c25e50fd14de71e6c418559302f939b0e1abd576f279c4b2e0feb85c1f28ff18f5\
8891ffef132eef2fa09346aee33c28eb130ff28f5b766953334113211996d20011a198e3fc433f9f2541010ae17c1bf202580f6047472f\
b36857fe843b19f5984009ddc324044e847a4f4a0ab34f719595de37252d6235365e9b84392b061085349d73203a4a13e96f5432ec0fd4\
a1ee65accdd5e3904df54c1da510b0ff20dcc0c77fcb2c0e0eb605cb0504db87632cf3d8b4dae6e705769d1de354270123cb11450efc60\
ac47683d7b8d0f811365565fd98c4c8eb936bcab8d069fc33bd801b03adea2e1fbc5aa463d08ca19896d2bf59a071b851e6c239052172f\
296bfb5e72404790a2181014f3b94a4e97d117b438130368cc39dbb2d198065ae3986547926cd2162f40a29f0c3c8745c0f50fba3852e5\
66d44575c29d39a03f0cda721984b6f440591f355e12d439ff150aab7613499dbd49adabc8676eef023b15b65bfc5ca06948109f23f350\
db82123535eb8a7433bdabcb909271a6ecbcb58b936a88cd4e8f2e6ff5800175f113253d8fa9ca8885c2f552e657dc603f252e1a8e308f\
76f0be79e2fb8f5d5fbbe2e30ecadd220723c8c0aea8078cdfcb3868263ff8f0940054da48781893a7e49ad5aff4af300cd804a6b6279a\
b3ff3afb64491c85194aab760d58a606654f9f4400e8b38591356fbf6425aca26dc85244259ff2b19c41b9f96f3ca9ec1dde434da7d2d3\
92b905ddf3d1f9af93d1af5950bd493f5aa731b4056df31bd267b6b90a079831aaf579be0a39013137aac6d404f518cfd46840647e78bf\
e706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241e221af44860018ab0856972e194cd934";
/// RFC 9369 appendix A.2: the same in version 2.
pub const RFC9369_A2: &str =
    "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03dceebfa162e75d6c96058bdbfb127c\
dfcbf903388e99ad049f9a3dd4425ae4d0992cfff18ecf0fdb5a842d09747052f17ac2053d21f57c5d250f2c4f0e0202b70785b7946e99\
2e58a59ac52dea6774d4f03b55545243cf1a12834e3f249a78d395e0d18f4d766004f1a2674802a747eaa901c3f10cda5500cb9122faa9\
f1df66c392079a1b40f0de1c6054196a11cbea40afb6ef5253cd6818f6625efce3b6def6ba7e4b37a40f7732e093daa7d52190935b8da5\
8976ff3312ae50b187c1433c0f028edcc4c2838b6a9bfc226ca4b4530e7a4ccee1bfa2a3d396ae5a3fb512384b2fdd851f784a65e03f2c\
4fbe11a53c7777c023462239dd6f7521a3f6c7d5dd3ec9b3f233773d4b46d23cc375eb198c63301c21801f6520bcfb7966fc49b393f006\
1d974a2706df8c4a9449f11d7f3d2dcbb90c6b877045636e7c0c0fe4eb0f697545460c806910d2c355f1d253bc9d2452aaa549e27a1fac\
7cf4ed77f322e8fa894b6a83810a34b361901751a6f5eb65a0326e07de7c1216ccce2d0193f958bb3850a833f7ae432b65bc5a53975c15\
5aa4bcb4f7b2c4e54df16efaf6ddea94e2c50b4cd1dfe06017e0e9d02900cffe1935e0491d77ffb4fdf85290fdd893d577b1131a610ef6\
a5c32b2ee0293617a37cbb08b847741c3b8017c25ca9052ca1079d8b78aebd47876d330a30f6a8c6d61dd1ab5589329de714d19d61370f\
8149748c72f132f0fc99f34d766c6938597040d8f9e2bb522ff99c63a344d6a2ae8aa8e51b7b90a4a806105fcbca31506c446151adfece\
b51b91abfe43960977c87471cf9ad4074d30e10d6a7f03c63bd5d4317f68ff325ba3bd80bf4dc8b52a0ba031758022eb025cdd770b44d6\
d6cf0670f4e990b22347a7db848265e3e5eb72dfe8299ad7481a408322cac55786e52f633b2fb6b614eaed18d703dd84045a274ae8bfa7\
3379661388d6991fe39b0d93debb41700b41f90a15c4d526250235ddcd6776fc77bc97e7a417ebcb31600d01e57f32162a8560cacc7e27\
a096d37a1a86952ec71bd89a3e9a30a2a26162984d7740f81193e8238e61f6b5b984d4d3dfa033c1bb7e4f0037febf406d91c0dccf32ac\
f423cfa1e7071010d3f270121b493ce85054ef58bada42310138fe081adb04e2bd901f2f13458b3d6758158197107c14ebb193230cd115\
7380aa79cae1374a7c1e5bbcb80ee23e06ebfde206bfb0fcbc0edc4ebec309661bdd908d532eb0c6adc38b7ca7331dce8dfce39ab71e7c\
32d318d136b6100671a1ae6a6600e3899f31f0eed19e3417d134b90c9058f8632c798d4490da4987307cba922d61c39805d072b589bd52\
fdf1e86215c2d54e6670e07383a27bbffb5addf47d66aa85a0c6f9f32e59d85a44dd5d3b22dc2be80919b490437ae4f36a0ae55edf1d0b\
5cb4e9a3ecabee93dfc6e38d209d0fa6536d27a5d6fbb17641cde27525d61093f1b28072d111b2b4ae5f89d5974ee12e5cf7d5da4d6a31\
123041f33e61407e76cffcdcfd7e19ba58cf4b536f4c4938ae79324dc402894b44faf8afbab35282ab659d13c93f70412e85cb199a37dd\
ec600545473cfb5a05e08d0b209973b2172b4d21fb69745a262ccde96ba18b2faa745b6fe189cf772a9f84cbfc";
/// RFC 9001 appendix A.3: the server's Initial, protected.
pub const RFC9001_A3: &str = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1\
c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc42158407dd074ee";

/// RFC 9001 appendix A.4: a Retry with the token "token".
pub const RFC9001_A4: &str = "ff000000010008f067a5502a4262b5746f6b656e04a265ba2eff4d829058fb3f0f2496ba";

/// An Initial to be made.
#[derive(Clone)]
pub struct Initial<'a> {
    pub version: u32,
    /// The id that the keys are made of.
    pub first_dcid: &'a [u8],
    pub dcid: &'a [u8],
    pub token: &'a [u8],
    pub number: u32,
}

/// The first Initial of a connection of version 1.
pub fn initial(dcid: &[u8]) -> Initial<'_> {
    Initial { version: V1, first_dcid: dcid, dcid, token: &[], number: 0 }
}

impl Initial<'_> {
    /// Protect frames: RFC 9001 section 5, RFC 9369 section 3.3.
    pub fn seal(&self, frames: &[u8]) -> Vec<u8> {
        let second = self.version == V2;
        let salt = if second {
            hex("0dede3def700a6db819381be6e269dcbf9bd2ed9")
        } else {
            hex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a")
        };
        let expand = |secret: &Hkdf<Sha256>, label: &str, length: usize| {
            let mut info = vec![0, length as u8, 6 + label.len() as u8];
            info.extend_from_slice(b"tls13 ");
            info.extend_from_slice(label.as_bytes());
            info.push(0);
            let mut out = vec![0; length];
            secret.expand(&info, &mut out).unwrap();
            out
        };
        let label = |name: &str| if second { format!("quicv2 {name}") } else { format!("quic {name}") };
        let client = expand(&Hkdf::<Sha256>::new(Some(&salt), self.first_dcid), "client in", 32);
        let client = Hkdf::<Sha256>::from_prk(&client).unwrap();
        let key: [u8; 16] = expand(&client, &label("key"), 16).try_into().unwrap();
        let mut nonce: [u8; 12] = expand(&client, &label("iv"), 12).try_into().unwrap();
        let hp: [u8; 16] = expand(&client, &label("hp"), 16).try_into().unwrap();

        let mut packet = vec![if second { 0xd3 } else { 0xc3 }];
        packet.extend_from_slice(&self.version.to_be_bytes());
        packet.push(self.dcid.len() as u8);
        packet.extend_from_slice(self.dcid);
        packet.push(0);
        packet.push(self.token.len() as u8);
        packet.extend_from_slice(self.token);
        let length = 4 + frames.len() + 16;
        packet.extend_from_slice(&(0x4000 | length as u16).to_be_bytes());
        let number_at = packet.len();
        packet.extend_from_slice(&self.number.to_be_bytes());
        for (place, byte) in nonce[8..].iter_mut().zip(self.number.to_be_bytes()) {
            *place ^= byte;
        }
        let mut body = frames.to_vec();
        let cipher = Aes128Gcm::new(&key.into());
        let tag = cipher.encrypt_inout_detached(&nonce.into(), &packet, body.as_mut_slice().into()).unwrap();
        packet.extend_from_slice(&body);
        packet.extend_from_slice(&tag);
        let sample: [u8; 16] = packet[number_at + 4..number_at + 20].try_into().unwrap();
        let mut mask = sample.into();
        aes::Aes128::new(&hp.into()).encrypt_block(&mut mask);
        packet[0] ^= mask[0] & 0x0f;
        for (place, byte) in packet[number_at..number_at + 4].iter_mut().zip(&mask[1..]) {
            *place ^= byte;
        }
        packet
    }
}

/// A CRYPTO frame (RFC 9000 section 19.6) with a part of a stream.
pub fn crypto(stream: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut frame = vec![6];
    frame.extend_from_slice(&(0x4000 | from as u16).to_be_bytes());
    frame.extend_from_slice(&(0x4000 | (to - from) as u16).to_be_bytes());
    frame.extend_from_slice(&stream[from..to]);
    frame
}

/// The ClientHello of the RFCs, made longer by an extension for padding (RFC 7685), as a post-quantum key
/// share makes it.
pub fn long_hello(padding: usize) -> Vec<u8> {
    let mut hello = hex(RFC9001_FRAME)[4..].to_vec();
    hello.extend_from_slice(&[0, 21]);
    hello.extend_from_slice(&(padding as u16).to_be_bytes());
    hello.extend_from_slice(&vec![0; padding]);
    let body = (hello.len() - 4) as u16;
    hello[2..4].copy_from_slice(&body.to_be_bytes());
    // behind version, random, no session id, two suites, one compression method
    let extensions = 4 + 2 + 32 + 1 + 6 + 2;
    let length = (hello.len() - extensions - 2) as u16;
    hello[extensions..extensions + 2].copy_from_slice(&length.to_be_bytes());
    hello
}
