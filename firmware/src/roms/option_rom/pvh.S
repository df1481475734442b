# chukka's option ROM: loads an ELF kernel through fw_cfg DMA and enters it by the PVH boot protocol.
#
# The host has published four items, the first three as QEMU does for its pvh.bin: the entry point;
# the command line; the initrd, if there is one; and the kernel's segments, as one memory image. QEMU
# puts the segments into memory itself, before the BIOS starts, and publishes neither them nor an
# address for the command line: if that is missing, we leave the kernel alone.
#
# Sources: load_elfboot in hw/i386/x86-common.c and pc-bios/optionrom/pvh_main.c in QEMU for the
# items; docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h in Xen.

        .include "header.S"

        .set    KEY_ENTRY, 0x10
        .set    CMDLINE, 0x20000        # where the command line is put if the host does not say

# The start info, then the module list, the memory map and its end.
        .set    INFO, 0x9000
        .set    MODULE, INFO + 56
        .set    MAP, INFO + 0x100
        .set    MAP_ENTRY, 24
        .set    END, INFO + 0x1000

        .set    MAGIC, 0x336ec578
        .set    INFO_VERSION, INFO + 4          # u32
        .set    INFO_MODULES, INFO + 12         # u32, number of modules
        .set    INFO_MODULE_LIST, INFO + 16     # u64
        .set    INFO_CMDLINE, INFO + 24         # u64
        .set    INFO_RSDP, INFO + 32            # u64
        .set    INFO_MAP, INFO + 40             # u64
        .set    INFO_MAP_ENTRIES, INFO + 48     # u32

        movw    $kernel_item, %si
        call    locate
        cmpl    $0, kernel + SIZE
        movw    $no_kernel, %si
        je      give_up
        movl    $entry, %edi
        movl    $4, %ecx
        movb    $KEY_ENTRY, %al
        movw    $kernel_item, %si
        call    read

        movw    $cmdline_item, %si
        call    locate
        cmpl    $0, cmdline
        jne     1f
        movl    $CMDLINE, cmdline
        jmp     2f
1:      movw    $kernel_item, %si
        call    load
2:      movw    $cmdline_item, %si
        call    load

        xorw    %ax, %ax
        movw    %ax, %es
        movw    $INFO, %di
        movw    $(END - INFO) / 2, %cx
        rep stosw
        movl    $MAGIC, INFO
        incb    INFO_VERSION            # 1
        movl    cmdline, %eax
        movl    %eax, INFO_CMDLINE
        movl    $MAP, INFO_MAP
        movw    $MAP, %di
        movw    $END - MAP_ENTRY, %bp
        call    memory_map
        movw    %di, %ax
        subw    $MAP, %ax
        movb    $MAP_ENTRY, %cl
        divb    %cl
        movb    %al, INFO_MAP_ENTRIES
        call    find_rsdp

        movw    $initrd_item, %si
        call    locate
        cmpl    $0, initrd + SIZE
        je      3f
        movl    kernel, %edi            # above the kernel, anywhere below 4 GiB
        addl    kernel + SIZE, %edi
        jc      too_big
        movl    $-1, %ebp
        call    place
        movl    %eax, initrd
        movl    %eax, MODULE
        movl    initrd + SIZE, %eax
        movl    %eax, MODULE + 8
        incb    INFO_MODULES            # 1
        movl    $MODULE, INFO_MODULE_LIST
        movw    $initrd_item, %si
        call    load

# Where ACPI is hardware-reduced, Linux does not touch the 8259s, and the BIOS's timer interrupt would
# arrive as exception 8. A bzImage's real-mode code masks them (arch/x86/boot/pm.c), so we do.
3:      movb    $0xff, %al
        outb    %al, $0xa1
        movb    $0xfb, %al              # all but the cascade
        outb    %al, $0x21
        xorl    %eax, %eax
        movl    $INFO, %ebx
        jmp     enter

# ---- ACPI ----------------------------------------------------------------------------------------
# Stores the RSDP's address in the start info, if it is where ACPI 6.5, 5.2.5.1 says: in 0xe0000 to
# 0xfffff (BIOSes have it in the last 64 KiB) or in the first KiB of the extended BIOS data area, at
# a multiple of 16.
find_rsdp:
        movw    $0xf000, %ax
        movw    $0x10000 / 16, %cx
        call    search
        movw    $0xe000, %ax
        movw    $0x10000 / 16, %cx
        call    search
        movw    0x40e, %ax              # its segment
        movw    $1024 / 16, %cx

# Searches %cx paragraphs from segment %ax on, unless it has been found.
search: movw    %ax, %es
        cmpl    $0, INFO_RSDP
        jne     4f
        xorw    %si, %si
1:      cmpl    $0x20445352, %es:(%si)  # "RSD "
        jne     3f
        cmpl    $0x20525450, %es:4(%si) # "PTR "
        jne     3f
        movw    %si, %bx
        movw    $20, %di                # The first 20 bytes have a sum of 0.
        xorb    %dl, %dl
2:      addb    %es:-1(%bx,%di), %dl
        decw    %di
        jnz     2b
        testb   %dl, %dl
        jz      5f
3:      addw    $16, %si
        loop    1b
4:      ret
5:      xorl    %eax, %eax
        movw    %es, %ax
        shll    $4, %eax
        movzwl  %si, %esi
        addl    %esi, %eax
        movl    %eax, INFO_RSDP
        ret

kernel_item:
        .word   kernel
        .byte   0x07, 0x08, 0x11
        .asciz  "kernel"
cmdline_item:
        .word   cmdline
        .byte   0x13, 0x14, 0x15
        .asciz  "command line"
initrd_item:
        .word   initrd
        .byte   0x0a, 0x0b, 0x12
        .asciz  "initrd"

        .include "protected.S"
        .include "fw_cfg.S"
        .include "memory_map.S"
        .include "place.S"
        .include "fail.S"

product:        .asciz  "PVH by fw_cfg"
