# chukka's option ROM: loads Linux through fw_cfg DMA and starts it at its real-mode entry point.
#
# SeaBIOS finds this image among the fw_cfg files (genroms/...), copies it below 1 MiB, and calls
# its "bootstrap entry vector" (BEV) when it boots from it. The host has published four items: the
# kernel's setup code, the command line, the protected-mode kernel and, if there is one, an initrd.
# Each item has three keys: its address, its size and its bytes. We have the device copy all four
# into place, move the initrd to an address that is free in the BIOS's memory map, and jump.
#
# Everything runs in real mode with interrupts disabled: DMA can access the whole first 4 GiB, so
# the CPU need not. The code requires a 486 (BSWAP). Errors are printed on the screen and on the
# first serial port; then the BIOS tries its next boot device.
#
# Sources: fw_cfg - docs/specs/fw_cfg.rst in QEMU; ROM header - Plug and Play BIOS Specification
# 1.0A, 3.2, and BIOS Boot Specification 1.01; the kernel's header and entry -
# Documentation/arch/x86/boot.rst in Linux.

        .arch   i486
        .code16

# fw_cfg's ports and the control bits of a DMA descriptor.
        .set    SELECTOR, 0x510         # 16 bits: selects an item; the 8-bit data port is next
        .set    DMA_ADDRESS, 0x518      # 32 bits, big-endian: writing starts DMA
        .set    KEY_ID, 0x01            # item 1: the device's features
        .set    ID_DMA, 0x02            #   bit 1: DMA
        .set    DMA_ERROR, 0x01
        .set    DMA_READ_KEY, 0x0a      # READ (2), SELECT (8) the item in bits 16 to 31

# The kernel's setup header: offsets in its setup code, which %es points to.
        .set    PROTOCOL, 0x206         # u16, boot protocol version
        .set    RAMDISK_IMAGE, 0x218    # u32, address of the initrd
        .set    RAMDISK_MAX, 0x22c      # u32, last address it may occupy, since protocol 2.03 ...
        .set    XLOADFLAGS, 0x236       # u16, bit 1: ... unless it may be anywhere; since 2.12
        .set    PREF_ADDRESS, 0x258     # u64, decompression address if loaded below; since 2.10
        .set    INIT_SIZE, 0x260        # u32, bytes it needs from there; since 2.10
        .set    ENTRY, 0x200            # start of its code

# Our variables, in the RAM below 0x7c00 that the BIOS leaves to boot programs. The stack grows down
# from here.
        .struct 0x7b00
stack:
descriptor:     .skip 16                # big-endian: u32 control, u32 length, u64 address
setup:          .skip 8                 # of each item: u32 address, u32 size
cmdline:        .skip 8
kernel:         .skip 8
initrd:         .skip 8
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

        movw    $setup_item, %si
        call    locate
        cmpl    $0, setup + SIZE        # No setup code means no kernel.
        movw    $no_kernel, %si
        je      give_up
        movw    $setup_item, %si
        call    load
        movl    setup, %eax
        shrl    $4, %eax
        movw    %ax, %es                # From here: %es = the setup code's segment.

        movw    $cmdline_item, %si
        call    locate
        call    load
        movw    $kernel_item, %si
        call    locate
        call    load
        movw    $initrd_item, %si
        call    locate
        cmpl    $0, initrd + SIZE
        je      start
        call    place
        movl    %eax, initrd
        movl    %eax, %es:RAMDISK_IMAGE
        movw    $initrd_item, %si
        call    load

# Enters the kernel as boot.rst requires: all data segments at the setup code, the stack in the same
# segment and as high as the command line allows, the code segment 0x20 paragraphs (512 bytes)
# further, interrupts disabled.
start:  cli
        movl    cmdline, %esp
        subl    setup, %esp
        subl    $16, %esp
        movw    %es, %ax
        movw    %ax, %ds
        movw    %ax, %fs
        movw    %ax, %gs
        movw    %ax, %ss
        addw    $ENTRY / 16, %ax
        pushw   %ax
        pushw   $0
        lret

# ---- fw_cfg --------------------------------------------------------------------------------------
# An item: the offset of its variables, its three keys and its name.
        .struct 0
ITEM_VARIABLES: .skip 2
ITEM_ADDR_KEY:  .skip 1
ITEM_SIZE_KEY:  .skip 1
ITEM_DATA_KEY:  .skip 1
ITEM_NAME:
        .text
setup_item:
        .word   setup
        .byte   0x16, 0x17, 0x18
        .asciz  "kernel's set-up code"
cmdline_item:
        .word   cmdline
        .byte   0x13, 0x14, 0x15
        .asciz  "command line"
kernel_item:
        .word   kernel
        .byte   0x07, 0x08, 0x11
        .asciz  "kernel"
initrd_item:
        .word   initrd
        .byte   0x0a, 0x0b, 0x12
        .asciz  "initrd"

# Sets the variables of the item at %cs:%si. The integers are little-endian, like ours.
locate: movzwl  %cs:ITEM_VARIABLES(%si), %edi
        movl    $4, %ecx
        movb    %cs:ITEM_ADDR_KEY(%si), %al
        call    read
        addw    $SIZE, %di
        movl    $4, %ecx
        movb    %cs:ITEM_SIZE_KEY(%si), %al
        jmp     read

# Copies the data of the item at %cs:%si to the address in its variables.
load:   movw    %cs:ITEM_VARIABLES(%si), %bx
        movl    (%bx), %edi
        movl    SIZE(%bx), %ecx
        movb    %cs:ITEM_DATA_KEY(%si), %al

# Reads %ecx bytes of key %al to physical address %edi, for the item at %cs:%si. Preserves %si, %edi
# and %es.
read:   movzbl  %al, %eax
        shll    $16, %eax
        movb    $DMA_READ_KEY, %al
        bswap   %eax
        bswap   %ecx
        bswap   %edi
        movl    %eax, descriptor
        movl    %ecx, descriptor + 4
        movl    $0, descriptor + 8
        movl    %edi, descriptor + 12
        bswap   %edi
        movl    $descriptor, %eax       # Segments are 0: offsets are physical addresses.
        bswap   %eax
        movw    $DMA_ADDRESS, %dx
        outl    %eax, %dx

        xorl    %ecx, %ecx              # Already done on QEMU and chukka; others get a time limit.
1:      movl    descriptor, %eax
        bswap   %eax
        testl   $~DMA_ERROR, %eax
        jz      2f
        rep
        nop
        addr32 loop 1b
2:      testl   %eax, %eax
        jnz     failed
        ret

# ---- the initrd's place --------------------------------------------------------------------------
# Returns the initrd's address in %eax: page-aligned, as high as RAM and the kernel allow, and never
# overlapping the kernel or the memory in which it decompresses itself. The host's address is
# ignored: the host cannot know what the BIOS stores at the top of RAM.
place:  movl    kernel, %edi            # %edi = max(load, preferred address) + init_size ...
        movl    %edi, %eax
        addl    kernel + SIZE, %eax
        jc      too_big
        cmpw    $0x20a, %es:PROTOCOL
        jb      1f
        cmpl    %es:PREF_ADDRESS, %edi
        ja      2f
        movl    %es:PREF_ADDRESS, %edi
2:      addl    %es:INIT_SIZE, %edi
        jc      too_big
        cmpl    %eax, %edi
        ja      2f
1:      movl    %eax, %edi              # ... or the end of the kernel as loaded, if that is higher

2:      xorw    %bx, %bx                # Find the end of RAM below 4 GiB.
        xorw    %cx, %cx
        xorw    %dx, %dx
        movw    $0xe801, %ax
        int     $0x15
        jc      too_big
        movw    %cx, %si                # Some BIOSes use %cx and %dx, some %ax and %bx only.
        orw     %dx, %si
        jnz     1f
        movw    %ax, %cx
        movw    %bx, %dx
1:      movzwl  %cx, %eax               # KiB from 1 MiB, up to 16 MiB
        addl    $1024, %eax
        shll    $10, %eax
        movzwl  %dx, %edx               # units of 64 KiB from 16 MiB
        testw   %dx, %dx
        jz      1f
        leal    256(%edx), %eax
        shll    $16, %eax

1:      decl    %eax                    # %eax = the last byte the initrd may occupy
        movl    $0x37ffffff, %ecx
        cmpw    $0x203, %es:PROTOCOL
        jb      1f
        movl    %es:RAMDISK_MAX, %ecx
        cmpw    $0x20c, %es:PROTOCOL
        jb      1f
        testb   $1 << 1, %es:XLOADFLAGS
        jnz     2f
1:      cmpl    %ecx, %eax
        jbe     2f
        movl    %ecx, %eax
2:      subl    initrd + SIZE, %eax
        jb      too_big
        incl    %eax
        andw    $0xf000, %ax
        cmpl    %edi, %eax
        jb      too_big
        cmpl    $0x200000, initrd + SIZE        # Align to a huge page ...
        jb      1f
        movl    %eax, %ecx              # ... if there is room.
        andl    $~0x1fffff, %ecx
        cmpl    %edi, %ecx
        jb      1f
        movl    %ecx, %eax
1:      ret

# ---- what goes wrong -----------------------------------------------------------------------------
too_big:
        movw    $does_not_fit, %si
        jmp     give_up

failed: addw    $ITEM_NAME, %si
        pushw   %si
        movw    $cannot_load, %si
        call    print
        popw    %si
        call    print
        movw    $dma_error, %si

give_up:
        call    print
        int     $0x18                   # The BIOS tries the next boot device, if any.
1:      hlt
        jmp     1b

# Prints the string at %cs:%si on the screen and then on COM1 (where SeaBIOS may also show its
# screen).
print:  pushw   %si
1:      lodsb   %cs:(%si), %al
        testb   %al, %al
        jz      2f
        movb    $0x0e, %ah              # int 10h: teletype output, page 0, light grey
        movw    $0x0007, %bx
        int     $0x10
        jmp     1b
2:      popw    %si
3:      lodsb   %cs:(%si), %al
        testb   %al, %al
        jz      5f
        movb    %al, %ah
        movw    $0x3fd, %dx             # line status; bit 5: ready for the next byte
        movw    $4096, %cx              # retry limit, in case the port is never ready
4:      inb     %dx, %al
        testb   $0x20, %al
        loopz   4b
        movw    $0x3f8, %dx
        movb    %ah, %al
        outb    %al, %dx
        jmp     3b
5:      ret

manufacturer:   .asciz  "chukka"
product:        .asciz  "Linux by fw_cfg"
no_dma:         .asciz  "chukka: fw_cfg has no DMA here\r\n"
no_kernel:      .asciz  "chukka: fw_cfg holds no kernel\r\n"
does_not_fit:   .asciz  "chukka: no room for the initrd above the kernel; give the guest more memory\r\n"
cannot_load:    .asciz  "chukka: cannot load the "
dma_error:      .asciz  ": fw_cfg DMA error\r\n"
