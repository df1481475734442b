# A firmware image that tells what a guest sees of fw_cfg: it runs, unchanged, as -bios in QEMU and in chukka.
#
# It does the DMA operations of a script that the test has put behind the code (`operation`, below), then reads every file
# of the directory, and writes what came of each to the first serial port as a frame of bytes. Then it resets the machine.
# It stays in real mode, interrupts off, and uses what every PC has: RAM, fw_cfg, a 16550.

        .arch   i486
        .code16

        .set    SELECTOR, 0x510         # 16 bit: which item; the data port is the next one
        .set    DATA, 0x511
        .set    DMA, 0x514              # 64 bit, big-endian; writing the low half, at 0x518, starts an operation
        .set    COM1, 0x3f8
        .set    SCRIPT, 0x1000          # in this image: operations, then a control word of all ones
        .set    FILE_DIR, 0x19
        .set    READ_KEY, 0x0a          # READ (2) and SELECT (8)
        .set    MOST, 0x2800            # of a file, this many bytes are told

# Low RAM. What begins with `magic` is a frame's head and goes out as it lies here; `dump` bytes of the buffer follow.
        .struct 0x1000
descriptor:     .skip 16                # big-endian: u32 control, u32 length, u64 address
magic:          .skip 2
control:        .skip 4                 # an operation, as in the script: the descriptor, little-endian,
length:         .skip 4
address:        .skip 8
dump:           .skip 2                 #   how much of the buffer to tell,
flags:          .skip 2                 #   bit 0: read the item by port, too
        .set    OPERATION, 20
result:         .skip 4                 # the control word afterwards, as it lies in memory
tail:           .skip 8                 # what the data port has next
agrees:         .skip 1                 # by port: 0 not read, 1 the same bytes, 2 others
head_end:
        .set    BUFFER, 0x2000          # segments
        .set    BY_PORT, 0x3000
        .set    DIRECTORY, 0x4000

        .text
        .globl  _start
_start: cli
        cld
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        movw    $0x1000, %sp
        movw    $COM1 + 2, %dx          # FIFO control
        movb    $1, %al
        outb    %al, %dx
        incw    %dx                     # line control: 8 bits, no parity
        movb    $3, %al
        outb    %al, %dx

        call    registers
        movw    $SCRIPT, %bp
1:      cmpl    $-1, %cs:(%bp)
        je      files
        movw    %cs, %ax
        movw    %ax, %ds
        xorw    %ax, %ax
        movw    %ax, %es
        movw    %bp, %si
        movw    $control, %di
        movw    $OPERATION, %cx
        rep movsb
        movw    %ax, %ds
        movw    %si, %bp
        call    operation
        jmp     1b

# ---- every file of the directory, each as an operation of its own ---------------------------------------------------
files:  movl    $FILE_DIR << 16 | READ_KEY, control
        movl    $4 + 64 * 32, length
        movl    $DIRECTORY << 4, address
        movl    $0, address + 4
        call    transfer
        movw    $DIRECTORY, %ax
        movw    %ax, %fs
        movl    %fs:0, %ebx             # how many
        bswap   %ebx
        movw    $4, %bp                 # the entry
1:      testw   %bx, %bx
        jz      end
        movl    %fs:(%bp), %eax         # its size, and some bytes more: there are none, so they are zeros
        bswap   %eax
        cmpl    $MOST, %eax
        jbe     2f
        movl    $MOST, %eax
2:      addl    $16, %eax
        movl    %eax, length
        movw    %ax, dump
        movw    %fs:4(%bp), %ax         # its key
        xchgb   %al, %ah
        movw    %ax, control + 2
        movw    $READ_KEY, control
        movl    $BUFFER << 4, address
        movl    $0, address + 4
        movw    $1, flags
        pushw   %bx
        call    operation
        popw    %bx
        addw    $64, %bp
        decw    %bx
        jmp     1b

# ---- the end: a reset, by both ways that machines have; it may take its time ----------------------------------------
end:    movw    $0x4445, magic          # "ED"
        movw    $0, dump
        call    frame
        movw    $0xcf9, %dx
        movb    $2, %al
        outb    %al, %dx
        movb    $6, %al
        outb    %al, %dx
        movb    $0xfe, %al
        outb    %al, $0x64
1:      hlt
        jmp     1b

# ---- one operation, and the frame that tells of it ------------------------------------------------------------------
operation:
        movw    $BUFFER, %ax
        movw    %ax, %es
        xorw    %di, %di
        movw    dump, %cx
        movb    $0xcc, %al              # what the device leaves alone will show
        rep stosb
        call    transfer
        movl    %eax, result
        xorw    %ax, %ax
        movw    %ax, %es
        movw    $tail, %di
        movw    $8, %cx
        movw    $DATA, %dx
        rep insb
        movb    $0, agrees
        testb   $1, flags
        jz      1f
        movw    control + 2, %ax        # the same by port
        movw    $SELECTOR, %dx
        outw    %ax, %dx
        movw    $BY_PORT, %ax
        movw    %ax, %es
        xorw    %di, %di
        movw    dump, %cx
        movw    $DATA, %dx
        rep insb
        movw    dump, %cx
        xorw    %si, %si
        xorw    %di, %di
        movw    $BUFFER, %ax
        movw    %ax, %ds
        movb    $1, %al
        repe cmpsb
        je      2f
        incb    %al
2:      xorw    %cx, %cx
        movw    %cx, %ds
        movb    %al, agrees
1:      movw    $0x4b43, magic          # "CK"

# ---- a frame --------------------------------------------------------------------------------------------------------
frame:  movw    $magic, %si
        movw    $head_end - magic, %cx
        call    send
        movw    $BUFFER, %ax
        movw    %ax, %ds
        movw    %ss:dump, %cx
        xorw    %si, %si
        call    send
        xorw    %ax, %ax
        movw    %ax, %ds
        ret

# Sends %cx bytes at %ds:%si, 16 at a time: as many as the FIFO holds.
send:   movw    $COM1 + 5, %dx
1:      jcxz    3f
2:      inb     %dx, %al
        testb   $0x20, %al              # the FIFO is empty
        jz      2b
        movw    $COM1, %dx
        movw    %cx, %ax
        cmpw    $16, %cx
        jbe     4f
        movw    $16, %cx
4:      subw    %cx, %ax
        rep outsb
        movw    %ax, %cx
        jmp     send
3:      ret

# ---- a DMA operation: the control word afterwards in %eax -----------------------------------------------------------
transfer:
        movl    control, %eax
        bswap   %eax
        movl    %eax, descriptor
        movl    length, %eax
        bswap   %eax
        movl    %eax, descriptor + 4
        movl    address + 4, %eax
        bswap   %eax
        movl    %eax, descriptor + 8
        movl    address, %eax
        bswap   %eax
        movl    %eax, descriptor + 12
        movl    $descriptor, %eax
        bswap   %eax
        movw    $DMA + 4, %dx
        outl    %eax, %dx
        movl    $0x10000, %ecx          # a device that never writes the word back shows, and does not keep us
1:      movl    descriptor, %eax
        testl   $0xfeffffff, %eax
        jz      2f
        decl    %ecx
        jnz     1b
2:      ret

# ---- the registers, in every width: a frame of 64 bytes -------------------------------------------------------------
registers:
        movw    $BUFFER, %ax
        movw    %ax, %es
        xorw    %di, %di
        movw    $32, %cx
        xorw    %ax, %ax
        rep stosw
        xorw    %di, %di
        movw    $DMA, %dx               # [0] 8 bytes: the signature by 32 bits
        inl     %dx, %eax
        stosl
        movw    $DMA + 4, %dx
        inl     %dx, %eax
        stosl
        movw    $DMA, %dx               # [8] 8 bytes: by 8 bits
1:      inb     %dx, %al
        stosb
        incw    %dx
        cmpw    $DMA + 8, %dx
        jb      1b
        movw    $DMA + 2, %dx           # [16] 4 bytes: by 16 bits
        inw     %dx, %ax
        stosw
        movw    $DMA + 6, %dx
        inw     %dx, %ax
        stosw
        movw    $SELECTOR, %dx          # [20] 8 bytes: both ports have the data
        xorw    %ax, %ax
        outw    %ax, %dx
        movw    $4, %cx
1:      inb     %dx, %al
        stosb
        incw    %dx
        inb     %dx, %al
        stosb
        decw    %dx
        loop    1b
        movw    $SELECTOR, %dx          # [28] 4 bytes: writes of a byte, to either port, change nothing
        xorw    %ax, %ax
        outw    %ax, %dx
        incw    %ax
        outb    %al, %dx
        incw    %dx
        outb    %al, %dx
        movw    $4, %cx
1:      inb     %dx, %al
        stosb
        loop    1b
        movw    $SELECTOR + 2, %dx      # [32] 2 bytes: the ports between
        inb     %dx, %al
        stosb
        incw    %dx
        inb     %dx, %al
        stosb
        movw    $SELECTOR, %dx          # [34] 3 bytes: the selector read as a word, then the data port
        xorw    %ax, %ax
        outw    %ax, %dx
        inw     %dx, %ax
        stosw
        incw    %dx
        inb     %dx, %al
        stosb
        decw    %dx                     # [37] 3 bytes: the data port read as a word, then as a byte
        xorw    %ax, %ax
        outw    %ax, %dx
        incw    %dx
        inw     %dx, %ax
        stosw
        inb     %dx, %al
        stosb
        movl    $0, control
        movl    $0, length
        movl    $0, address
        movl    $0, address + 4
        movw    $64, dump
        movw    $0, flags
        movl    $0, result
        movl    $0, tail
        movl    $0, tail + 4
        movb    $0, agrees
        movw    $0x4752, magic          # "RG"
        jmp     frame

        .org    SCRIPT
        .long   -1
        .org    0xfff0                  # where the processor starts
        ljmp    $0xf000, $_start
        .org    0x10000
