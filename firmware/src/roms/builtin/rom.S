# chukka's built-in firmware: from the reset vector to the kernel's 32-bit entry point, Linux's, PVH's
# or Multiboot 1's.
#
# The host has published the kernel, its setup header, the command line and, if there is one, an
# initrd, as for our option ROMs. It has also published the memory map, the ACPI tables with the
# script that links them, and the SMBIOS tables as files. We have the fw_cfg device copy each to its
# destination, write the zero page or what takes its place, and jump. There are no BIOS services: a kernel entered at 32
# bits must not use any.
#
# A dozen lines run in real mode. The rest runs in 32-bit protected mode with flat segments, no
# paging and interrupts disabled, so a physical address below 4 GiB is a pointer. The other CPUs
# wait until the kernel wakes them. Errors are printed on the first serial port and written to the
# fw_cfg file opt/org.chukka/boot-error, on which chukka ends the run; other VMMs only see us halt.
#
# Sources: fw_cfg - docs/specs/fw_cfg.rst in QEMU; the script - hw/acpi/bios-linker-loader.c there;
# the kernel - Documentation/arch/x86/boot.rst ("32-bit Boot Protocol") and zero-page.rst in Linux;
# SMBIOS 2.8, 5.2.1 and 7.1.

        .arch   i686

        .set    ROM_SIZE, 0x1000        # one page that ends at 4 GiB; linked there by build.rs

# fw_cfg's port, the control bits of a DMA descriptor, the keys of items.
        .set    DMA_ADDRESS, 0x514      # reads as "QEMU CFG"; writing the second half starts DMA
        .set    DMA_ERROR, 0x01
        .set    DMA_READ, 0x02
        .set    DMA_SKIP, 0x04
        .set    DMA_SELECT, 0x08        # the item in bits 16 to 31, from its start
        .set    DMA_WRITE, 0x10
        .set    KEY_KERNEL_ADDR, 0x07
        .set    KEY_KERNEL_SIZE, 0x08
        .set    KEY_INITRD_SIZE, 0x0b
        .set    KEY_KERNEL_ENTRY, 0x10
        .set    KEY_KERNEL_DATA, 0x11
        .set    KEY_INITRD_DATA, 0x12
        .set    KEY_CMDLINE_ADDR, 0x13
        .set    KEY_CMDLINE_SIZE, 0x14
        .set    KEY_CMDLINE_DATA, 0x15
        .set    KEY_SETUP_DATA, 0x18
        .set    KEY_DIRECTORY, 0x19

# An entry of the file directory, 64 bytes; its integers are big-endian.
        .set    FILE_SIZE, 0            # u32
        .set    FILE_KEY, 4             # u16, then 16 bits of 0
        .set    FILE_ADDRESS, 4         # replaces the key once the file is loaded
        .set    FILE_NAME, 8            # NUL-terminated
        .set    FILE_ENTRY, 64

# An entry of the memory map, 20 bytes, in the same format in fw_cfg and the zero page.
        .set    MAP_START, 0            # u64
        .set    MAP_SIZE, 8             # u64
        .set    MAP_TYPE, 16            # u32
        .set    MAP_ENTRY, 20
        .set    RAM, 1
        .set    RESERVED, 2

# Addresses below 1 MiB. The kernel can reuse all of this memory except from 0xf0000.
        .set    CMDLINE, 0x20000
        .set    CMDLINE_MAX, 0xffff
        .set    SCRATCH, 0x30000        # the directory, then files we only read
        .set    SCRATCH_END, 0x90000
        .set    EBDA, 0x9fc00           # low RAM ends here on every PC
        .set    FSEG, 0xf0000           # searched for RSDP and SMBIOS entry point
        .set    BIOS_CALL, 0xfff53      # chukka has put a handler there that fails
        .set    RESET_VECTOR, 0xffff0   # entered by kernels that reboot "by BIOS"
        .set    HIGH_RAM, 0x100000

# Our variables, initially 0. The stack grows down from here, the zero page follows.
        .struct 0x6f00
stack:
descriptor:     .skip 16                # big-endian: u32 control, u32 length, u64 address
item:           .skip 4                 # name of the current item, for messages
directory_end:  .skip 4
scratch:        .skip 4                 # first free byte of the scratch memory
fseg:           .skip 4                 # first free byte of the segment at 0xf0000
ram_end:        .skip 4                 # end of RAM below 4 GiB ...
top:            .skip 4                 # ... and end of its unallocated part
floor:          .skip 4                 # end of the memory the kernel needs to decompress itself
map:            .skip 4                 # the memory map as published
map_end:        .skip 4
kernel_size:    .skip 4
entry:          .skip 4                 # of a PVH or Multiboot kernel; 0 for a bzImage
value:          .skip 8
message:        .skip 128

# Fields of the zero page.
        .struct 0x7000
zero_page:      .skip 0x70
ACPI_RSDP:      .skip 0x1e8 - 0x70      # u64, address of the RSDP
E820_ENTRIES:   .skip 0x1f1 - 0x1e8     # u8
HEADER:         .skip 0x201 - 0x1f1     # start of the setup header
HEADER_LENGTH:  .skip 1                 # u8, size of the header from here
HEADER_MAGIC:   .skip 4                 # "HdrS"
PROTOCOL:       .skip 0x214 - 0x206     # u16, boot protocol version
CODE32_START:   .skip 4                 # u32, address of the kernel
RAMDISK_IMAGE:  .skip 4                 # u32, address of the initrd
RAMDISK_SIZE:   .skip 0x228 - 0x21c     # u32
CMD_LINE_PTR:   .skip 4                 # u32
RAMDISK_MAX:    .skip 0x236 - 0x22c     # u32, last address the initrd may occupy, unless ...
XLOADFLAGS:     .skip 2                 # u16, bit 1: ... it may be anywhere
CMDLINE_SIZE:   .skip 0x258 - 0x238     # u32, maximum length without terminating NUL
PREF_ADDRESS:   .skip 8                 # u64, address where the kernel decompresses itself
INIT_SIZE:      .skip 0x290 - 0x260     # u32, bytes it needs from there
HEADER_END:     .skip 0x2d0 - 0x290     # the longest header ends before this
E820_TABLE:     .skip 128 * MAP_ENTRY
E820_END:       .skip 0x1000 - 0xcd0
zero_page_end:

# ---- from the reset vector to protected mode -----------------------------------------------------
        .text
image:
        .code16
start:  cli
        cld
        lgdtl   %cs:gdt_register - image + 0x10000 - ROM_SIZE
        movl    $0x11, %eax             # CR0: enable protection, enable the caches
        movl    %eax, %cr0
        ljmpl   $gdt_code - gdt, $protected

# The kernel expects these selectors: __BOOT_CS, __BOOT_DS. "Accessed" is set because the CPU cannot
# set it in a ROM.
        .balign 8
gdt:    .quad   0, 0
gdt_code:       .quad 0x00cf9b000000ffff
gdt_data:       .quad 0x00cf93000000ffff
gdt_register:
        .word   . - gdt - 1
        .long   gdt

        .code32
protected:
        movl    $gdt_data - gdt, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %fs
        movl    %eax, %gs
        movl    %eax, %ss
        movl    $stack, %esp
        movl    $stack, %edi            # After a reboot, RAM still contains old data.
        movl    $(zero_page_end - stack) / 4, %ecx
        xorl    %eax, %eax
        rep stosl

        call    prepare_cpu
        call    guard_reset_vector
        call    read_directory
        call    read_memory_map
        call    read_header
        call    place_tables
        call    place_smbios
        andl    $~0xfff, top            # Reserve whole pages above for the tables.
        call    load_initrd
        call    write_memory_map
        call    load_command_line
        call    load_kernel
        cmpl    $0, entry
        jne     enter

        movl    PREF_ADDRESS, %eax
        movl    %eax, CODE32_START
        movl    $zero_page, %esi
        xorl    %ebx, %ebx
        xorl    %ebp, %ebp
        xorl    %edi, %edi
        jmp     *%eax

# ---- the machine ---------------------------------------------------------------------------------
# Memory types: all write-back, which is what KVM uses anyway. The kernel expects firmware to have
# enabled the MTRRs.
prepare_cpu:
        movl    $1, %eax
        cpuid
        testl   $1 << 12, %edx          # Are there MTRRs?
        jz      1f
        movl    $0x2ff, %ecx            # IA32_MTRR_DEF_TYPE
        movl    $1 << 11 | 6, %eax
        xorl    %edx, %edx
        wrmsr
1:      ret

# On a hardware-reduced machine, Linux reboots by jumping to F000:FFF0, so place code there that
# resets the machine.
guard_reset_vector:
        movl    $reset_name, item
        movl    $FSEG, fseg
        call    1f
        je      2f
        movl    $0x80000058, %eax       # i440FX: map RAM, not ROM (PAM0, 0x59, bits 4 and 5).
        movw    $0xcf8, %dx
        outl    %eax, %dx
        movw    $0xcfd, %dx
        movb    $0x30, %al
        outb    %al, %dx
        call    1f
        movl    $text_no_ram, %esi
        jne     fail
2:      ret

1:      movl    $reset_code, %esi
        movl    $RESET_VECTOR, %edi
        movsl
        movsl
        movsl
        movsl
        movl    -4(%esi), %eax
        cmpl    -4(%edi), %eax
        ret

        .code16
reset_code:
        movw    $0xcf9, %dx             # reset control register: reset the system
        movb    $0x06, %al
        outb    %al, %dx
        movb    $0xfe, %al              # the keyboard controller: pulse the reset line
        outb    %al, $0x64
1:      hlt
        jmp     1b
        .skip   16 - (. - reset_code), 0x90
        .code32

# ---- names of the steps --------------------------------------------------------------------------
        .include "fw_cfg.S"
        .include "memory.S"
        .include "acpi.S"
        .include "smbios.S"
        .include "kernel.S"
        .include "entry.S"
        .include "fail.S"

# ---- the reset vector ----------------------------------------------------------------------------
        .org    ROM_SIZE - 16
        .code16
        jmp     start
        .org    ROM_SIZE
