//! Classic BPF: programs that the kernel runs on each frame before it copies it to a socket.
//!
//! What they look like is in Documentation/networking/filter.rst of the kernel. A program says how many
//! bytes of a frame are taken, 0 for none. A load beyond the end of the frame ends a program with 0, so
//! programs made here ask for the length first.

use super::SourceError;

/// `BPF_MAXINSNS` of the kernel.
const LONGEST: usize = 4096;

const CLASS: u16 = 0x07;
const RETURN: u16 = 0x06;
/// Where a return takes its number from; 0: from the instruction.
const RETURN_SOURCE: u16 = 0x18;
const JUMP_ALWAYS: u16 = 0x05;

/// One instruction (struct sock_filter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Instructions to pass over where the condition holds.
    pub jt: u8,
    /// The same where it does not.
    pub jf: u8,
    /// Number, offset or distance.
    pub k: u32,
}

/// A program that the kernel can be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(Vec<Instruction>);

impl Program {
    /// A program that was made elsewhere, by libpcap for instance.
    ///
    /// # Errors
    /// It is empty or longer than the kernel takes.
    pub fn new(instructions: Vec<Instruction>) -> Result<Program, SourceError> {
        if instructions.is_empty() || instructions.len() > LONGEST {
            return Err(SourceError("the capture filter is empty or too long for the kernel".into()));
        }
        Ok(Program(instructions))
    }

    /// The program that takes all of every frame.
    #[must_use]
    pub fn accept() -> Program {
        Program(vec![Instruction { code: RETURN, jt: 0, jf: 0, k: u32::MAX }])
    }

    /// The program that takes nothing.
    #[must_use]
    pub fn reject() -> Program {
        Program(vec![Instruction { code: RETURN, jt: 0, jf: 0, k: 0 }])
    }

    /// This program as a filter before another: what it refuses is refused, of the rest `next` says how
    /// much is taken.
    ///
    /// # Errors
    /// Both together are longer than the kernel takes, or the filter returns what is no constant.
    pub fn then(mut self, next: &Program) -> Result<Program, SourceError> {
        if self.0.iter().any(|one| one.code & CLASS == RETURN && one.code & RETURN_SOURCE != 0) {
            return Err(SourceError("the capture filter returns a number that is no constant".into()));
        }
        let length = self.0.len();
        for (place, one) in self.0.iter_mut().enumerate() {
            if one.code & CLASS == RETURN && one.k > 0 {
                *one = Instruction { code: JUMP_ALWAYS, jt: 0, jf: 0, k: (length - place - 1) as u32 };
            }
        }
        self.0.extend_from_slice(&next.0);
        Program::new(self.0)
    }

    /// The instructions, in order.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.0
    }
}

/// A place in a program that is jumped to; set once by [`Assembler::place`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// A condition on the accumulator.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Equal = 0x15,
    Greater = 0x25,
    AnyBit = 0x45,
}

/// Writes a program with labels; jumps go forward only, as the kernel demands.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    code: Vec<Instruction>,
    labels: Vec<Option<usize>>,
    /// Jumps, and the label that each goes to where its condition holds.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn push(&mut self, code: u16, k: u32) {
        self.code.push(Instruction { code, jt: 0, jf: 0, k });
    }

    /// A label that is placed later.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Let a label stand for what comes next.
    pub(super) fn place(&mut self, label: Label) {
        if let Some(place) = self.labels.get_mut(label.0) {
            *place = Some(self.code.len());
        }
    }

    /// A = length of the frame.
    pub(super) fn load_length(&mut self) {
        self.push(0x80, 0);
    }

    /// A = the byte at `at`.
    pub(super) fn load8(&mut self, at: u32) {
        self.push(0x30, at);
    }

    /// A = the 16 bits at `at`.
    pub(super) fn load16(&mut self, at: u32) {
        self.push(0x28, at);
    }

    /// A = the 32 bits at `at`, or what the kernel knows of the frame (`SKF_AD_OFF`).
    pub(super) fn load32(&mut self, at: u32) {
        self.push(0x20, at);
    }

    /// A = the byte at X + `at`.
    pub(super) fn load8_x(&mut self, at: u32) {
        self.push(0x50, at);
    }

    /// A = the 16 bits at X + `at`.
    pub(super) fn load16_x(&mut self, at: u32) {
        self.push(0x48, at);
    }

    /// A = the 32 bits at X + `at`.
    pub(super) fn load32_x(&mut self, at: u32) {
        self.push(0x40, at);
    }

    /// X = a number.
    pub(super) fn set_x(&mut self, number: u32) {
        self.push(0x01, number);
    }

    /// X = length of the IPv4 header at `at`.
    pub(super) fn x_of_ipv4_header(&mut self, at: u32) {
        self.push(0xb1, at);
    }

    /// A = X.
    pub(super) fn x_to_a(&mut self) {
        self.push(0x87, 0);
    }

    /// Keep A in one of the 16 words of memory.
    pub(super) fn keep(&mut self, word: u32) {
        self.push(0x02, word);
    }

    /// A = a word that was kept.
    pub(super) fn recall(&mut self, word: u32) {
        self.push(0x60, word);
    }

    /// X = a word that was kept.
    pub(super) fn recall_x(&mut self, word: u32) {
        self.push(0x61, word);
    }

    /// A = A plus a number.
    pub(super) fn add(&mut self, number: u32) {
        self.push(0x04, number);
    }

    /// A = A times a number.
    pub(super) fn multiply(&mut self, number: u32) {
        self.push(0x24, number);
    }

    /// A = A shifted left.
    pub(super) fn shift_left(&mut self, bits: u32) {
        self.push(0x64, bits);
    }

    /// End with A.
    pub(super) fn give_a(&mut self) {
        self.push(0x16, 0);
    }

    /// X = A.
    pub(super) fn a_to_x(&mut self) {
        self.push(0x07, 0);
    }

    /// A = A + X.
    pub(super) fn add_x(&mut self) {
        self.push(0x0c, 0);
    }

    /// A = A and a mask.
    pub(super) fn and(&mut self, mask: u32) {
        self.push(0x54, mask);
    }

    /// A = A shifted right.
    pub(super) fn shift_right(&mut self, bits: u32) {
        self.push(0x74, bits);
    }

    /// Go to a label where the condition holds, else on.
    pub(super) fn jump_if(&mut self, when: When, number: u32, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(when as u16, number);
    }

    /// Go to a label.
    pub(super) fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(JUMP_ALWAYS, 0);
    }

    /// End with a number.
    pub(super) fn give(&mut self, number: u32) {
        self.push(RETURN, number);
    }

    /// The program.
    ///
    /// # Errors
    /// A label that was not placed, or one too far away for a conditional jump (255 instructions).
    pub(super) fn finish(mut self) -> Result<Program, SourceError> {
        for (from, label) in self.jumps {
            let to = self.labels.get(label.0).copied().flatten();
            let distance = to.and_then(|to| to.checked_sub(from + 1));
            let (Some(distance), Some(one)) = (distance, self.code.get_mut(from)) else {
                return Err(SourceError("a jump of a BPF program leads nowhere".into()));
            };
            if one.code == JUMP_ALWAYS {
                one.k = distance as u32;
            } else {
                one.jt =
                    u8::try_from(distance).map_err(|_| SourceError("a jump of a BPF program is too long".into()))?;
            }
        }
        Program::new(self.code)
    }
}
