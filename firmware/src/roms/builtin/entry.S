# Kernels with an entry point of their own, by PVH or Multiboot 1. The zero page holds what we know of
# them, although they never see it. The items are those of firmware/src/publish/pvh.rs and
# multiboot.rs: only a PVH kernel has a command line there.
#
# Sources: xen/include/public/arch-x86/hvm/start_info.h in Xen; Multiboot Specification 0.6.96, 3.3.

# PVH: the start info, its module list, the memory map.
        .set    PVH_INFO, 0x9000
        .set    PVH_MODULE, PVH_INFO + 56
        .set    PVH_MAP, PVH_INFO + 0x100
        .set    PVH_MODULES, PVH_INFO + 12              # u32
        .set    PVH_MODULE_LIST, PVH_INFO + 16          # u64
        .set    PVH_RSDP, PVH_INFO + 32                 # u64
        .set    PVH_MAP_ENTRIES, PVH_INFO + 48          # u32

# Multiboot: the memory map and the information, where QEMU has them.
        .set    MULTIBOOT_MAP, 0x9000
        .set    MULTIBOOT_MAP_MAX, 0x500 / 24           # entries
        .set    MULTIBOOT_INFO, 0x9500
        .set    MULTIBOOT_INFO_SIZE, 88
        .set    MULTIBOOT_LOWER, MULTIBOOT_INFO + 4     # u32, KiB from 0
        .set    MULTIBOOT_UPPER, MULTIBOOT_INFO + 8     # u32, KiB from 1 MiB
        .set    MULTIBOOT_MAP_LENGTH, MULTIBOOT_INFO + 44

# Finds out where the kernel's memory image goes. What was read is not a setup header.
read_image:
        movl    $zero_page, %edi
        movl    $HEADER_END - zero_page, %ecx
        xorl    %eax, %eax
        rep stosb
        movl    $KEY_KERNEL_ENTRY, %eax
        call    read_value
        movl    %ecx, entry
        testl   %ecx, %ecx
        jz      missing
        movl    $KEY_KERNEL_ADDR, %eax
        call    read_value
        movl    %ecx, PREF_ADDRESS
        movl    $KEY_KERNEL_SIZE, %eax
        call    read_value
        movl    %ecx, kernel_size
        addl    PREF_ADDRESS, %ecx
        jc      no_room
        cmpl    top, %ecx
        ja      no_room
        movl    %ecx, floor
        movb    $1 << 1, XLOADFLAGS     # An initrd may be anywhere below 4 GiB.
        movl    $KEY_CMDLINE_SIZE, %eax
        call    read_value
        movl    %ecx, CMDLINE_SIZE
        jecxz   1f
        movl    $KEY_CMDLINE_ADDR, %eax
        call    read_value
        testl   %ecx, %ecx
        jnz     1f
        movl    %ecx, kernel_size       # QEMU has put it into memory already.
1:      ret

# Enters the kernel, of which everything is in memory.
enter:  movl    $E820_TABLE, %esi
        movzbl  E820_ENTRIES, %edx
        cmpl    $0, CMDLINE_SIZE
        je      multiboot

        movl    %edx, %ebp
        movl    $PVH_MAP, %edi
1:      movl    $MAP_ENTRY / 4, %ecx
        rep movsl
        xorl    %eax, %eax
        stosl                           # reserved
        decl    %edx
        jnz     1b
        movl    $start_info, %esi
        movl    $PVH_INFO, %edi
        movl    $(start_info_end - start_info) / 4, %ecx
        rep movsl
        movl    %ebp, PVH_MAP_ENTRIES
        movl    ACPI_RSDP, %eax
        movl    %eax, PVH_RSDP
        movl    RAMDISK_SIZE, %eax
        testl   %eax, %eax
        jz      1f
        movl    %eax, PVH_MODULE + 8
        movl    RAMDISK_IMAGE, %eax
        movl    %eax, PVH_MODULE
        movl    $PVH_MODULE, PVH_MODULE_LIST
        incl    PVH_MODULES
1:      movl    $PVH_INFO, %ebx
        xorl    %eax, %eax
        jmp     *entry

multiboot:
        cmpl    $MULTIBOOT_MAP_MAX, %edx
        ja      no_room
        movl    $MULTIBOOT_MAP, %edi
1:      movl    $MAP_ENTRY, %eax        # size of the entry without this field
        stosl
        movl    $MAP_ENTRY / 4, %ecx
        rep movsl
        decl    %edx
        jnz     1b
        leal    -MULTIBOOT_MAP(%edi), %ebp
        movl    RAMDISK_IMAGE, %esi     # It came as the initrd.
        movl    $MULTIBOOT_INFO, %edi
        movl    $MULTIBOOT_INFO_SIZE / 4, %ecx
        rep movsl
        movl    %ebp, MULTIBOOT_MAP_LENGTH
        movl    $EBDA >> 10, MULTIBOOT_LOWER
        movl    top, %eax
        subl    $HIGH_RAM, %eax
        shrl    $10, %eax
        movl    %eax, MULTIBOOT_UPPER
        movl    $MULTIBOOT_INFO, %ebx
        movl    $0x2badb002, %eax
        jmp     *entry

        .balign 4
start_info:
        .long   0x336ec578, 1, 0, 0     # magic, version, flags, number of modules
        .long   0, 0, CMDLINE, 0        # module list, command line
        .long   0, 0, PVH_MAP, 0        # RSDP, memory map
        .long   0, 0                    # map entries, reserved
        .skip   32                      # the module
start_info_end:
