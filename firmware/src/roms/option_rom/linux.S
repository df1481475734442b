# chukka's option ROM: loads Linux through fw_cfg DMA and starts it at its real-mode entry point.
#
# SeaBIOS finds this image among the fw_cfg files (genroms/...), copies it below 1 MiB, and calls
# its "bootstrap entry vector" (BEV) when it boots from it. The host has published four items: the
# kernel's setup code, the command line, the protected-mode kernel and, if there is one, an initrd.
# Each item has three keys: its address, its size and its bytes. We have the device copy all four
# into place, move the initrd to an address that is free in the BIOS's memory map, and jump.
#
# Source of the kernel's header and entry: Documentation/arch/x86/boot.rst in Linux.

        .include "header.S"

# The kernel's setup header: offsets in its setup code, which %es points to.
        .set    PROTOCOL, 0x206         # u16, boot protocol version
        .set    RAMDISK_IMAGE, 0x218    # u32, address of the initrd
        .set    RAMDISK_MAX, 0x22c      # u32, last address it may occupy, since protocol 2.03 ...
        .set    XLOADFLAGS, 0x236       # u16, bit 1: ... unless it may be anywhere; since 2.12
        .set    PREF_ADDRESS, 0x258     # u64, decompression address if loaded below; since 2.10
        .set    INIT_SIZE, 0x260        # u32, bytes it needs from there; since 2.10
        .set    ENTRY, 0x200            # start of its code

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
        call    bounds
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

# Sets what `place` needs: %edi to the first address after the kernel and the memory in which it
# decompresses itself, %ebp to the last address it allows the initrd to occupy.
bounds: movl    kernel, %edi            # %edi = max(load, preferred address) + init_size ...
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

2:      movl    $0x37ffffff, %ebp
        cmpw    $0x203, %es:PROTOCOL
        jb      1f
        movl    %es:RAMDISK_MAX, %ebp
        cmpw    $0x20c, %es:PROTOCOL
        jb      1f
        testb   $1 << 1, %es:XLOADFLAGS
        jz      1f
        movl    $-1, %ebp
1:      ret

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

        .include "fw_cfg.S"
        .include "place.S"
        .include "fail.S"

product:        .asciz  "Linux by fw_cfg"
