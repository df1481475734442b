# The beginning of each of our option ROMs: constants, variables, and the headers that a BIOS reads.
#
# The code after it defines `boot`, `manufacturer` and `product`. Everything runs in real mode with
# interrupts disabled: DMA can access the whole first 4 GiB, so the CPU need not. The code requires a
# 486 (BSWAP).
#
# Sources: fw_cfg - docs/specs/fw_cfg.rst in QEMU; ROM header - Plug and Play BIOS Specification
# 1.0A, 3.2, and BIOS Boot Specification 1.01.

        .arch   i486
        .code16

# fw_cfg's ports and the control bits of a DMA descriptor.
        .set    SELECTOR, 0x510         # 16 bits: selects an item; the 8-bit data port is next
        .set    DMA_ADDRESS, 0x518      # 32 bits, big-endian: writing starts DMA
        .set    KEY_ID, 0x01            # item 1: the device's features
        .set    ID_DMA, 0x02            #   bit 1: DMA
        .set    DMA_ERROR, 0x01
        .set    DMA_READ_KEY, 0x0a      # READ (2), SELECT (8) the item in bits 16 to 31

# Our variables, in the RAM below 0x7c00 that the BIOS leaves to boot programs. The stack grows down
# from here.
        .struct 0x7b00
stack:
descriptor:     .skip 16                # big-endian: u32 control, u32 length, u64 address
setup:          .skip 8                 # of each item: u32 address, u32 size
cmdline:        .skip 8
kernel:         .skip 8
initrd:         .skip 8
entry:          .skip 4                 # of a kernel that is entered in protected mode
gdt_register:   .skip 6                 # u16 limit, u32 address
far_pointer:    .skip 6                 # u32 offset, u16 selector
        .set    SIZE, 4

# ---- headers -------------------------------------------------------------------------------------
        .text
        .byte   0x55, 0xaa              # "option ROM"
        .byte   0                       # length in units of 512 bytes, set by build.rs
        lret                            # called by the BIOS at startup: nothing to initialize
        .org    0x06
        .byte   0                       # checksum of all bytes, set by build.rs
        .org    0x18
        .word   0                       # no PCI header
        .word   pnp
        .org    0x1c
pnp:    .ascii  "$PnP"
        .byte   1, 32 / 16              # revision; length in units of 16 bytes
        .word   0                       # no further header
        .byte   0
        .byte   0                       # checksum of this header, set by build.rs
        .long   0                       # device identifier: none
        .word   manufacturer, product   # name in boot menus
        .byte   0, 0, 0                 # device type: none
        .byte   0x64                    # may be shadowed (0x40) and cached (0x20); boots (0x04)
        .word   0, 0                    # boot connection and disconnect vectors: none
        .word   boot                    # bootstrap entry vector
        .word   0, 0                    # reserved; no static resources

# ---- the boot ------------------------------------------------------------------------------------
boot:   cli
        cld
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        movl    $stack, %esp

        movw    $SELECTOR, %dx          # Does the device support DMA?
        movw    $KEY_ID, %ax
        outw    %ax, %dx
        incw    %dx
        inb     %dx, %al
        testb   $ID_DMA, %al
        movw    $no_dma, %si
        jz      give_up
