# chukka's built-in firmware: from the reset vector to Linux's 32-bit entry, with everything the kernel needs on the way.
#
# The host has published the kernel, its set-up header, the command line and perhaps an initrd, as for our option ROM, and files:
# the memory map, ACPI tables with the script that links them, SMBIOS tables. We have the fw_cfg device copy each to where it
# stays, write the zero page, and jump. There are no BIOS services: who is entered at 32 bits must not ask for any.
#
# A dozen lines run in real mode; the rest in 32-bit protected mode, segments flat, no paging, interrupts off: so a physical address
# is a pointer, below 4 GiB. The other CPUs sleep on, until the kernel wakes them. Whatever goes wrong is said on the first serial
# port and written to the fw_cfg file opt/org.chukka/boot-error, which chukka takes as the end; elsewhere we halt.
#
# Sources: fw_cfg - docs/specs/fw_cfg.rst in QEMU; the script - hw/acpi/bios-linker-loader.c there; the kernel -
# Documentation/arch/x86/boot.rst ("32-bit Boot Protocol") and zero-page.rst in Linux; SMBIOS 2.8, 5.2.1 and 7.1.

        .arch   i686

        .set    ROM_SIZE, 0x1000        # one page, which ends at 4 GiB; build.rs links it there

# fw_cfg's port, the bits of a DMA descriptor's control word, the keys of items.
        .set    DMA_ADDRESS, 0x514      # reads as "QEMU CFG"; writing a descriptor's address to its second half starts it
        .set    DMA_ERROR, 0x01
        .set    DMA_READ, 0x02
        .set    DMA_SKIP, 0x04
        .set    DMA_SELECT, 0x08        # the item in bits 16 to 31, from its start
        .set    DMA_WRITE, 0x10
        .set    KEY_KERNEL_SIZE, 0x08
        .set    KEY_INITRD_SIZE, 0x0b
        .set    KEY_KERNEL_DATA, 0x11
        .set    KEY_INITRD_DATA, 0x12
        .set    KEY_CMDLINE_DATA, 0x15
        .set    KEY_SETUP_DATA, 0x18
        .set    KEY_DIRECTORY, 0x19

# An entry of the directory of files, 64 bytes; its integers are big-endian.
        .set    FILE_SIZE, 0            # u32
        .set    FILE_KEY, 4             # u16, then 16 bits of 0
        .set    FILE_ADDRESS, 4         # once the file is placed, its address, as its key is not needed any more
        .set    FILE_NAME, 8            # zero-terminated
        .set    FILE_ENTRY, 64

# An entry of the memory map, 20 bytes, the same in fw_cfg and in the zero page.
        .set    MAP_START, 0            # u64
        .set    MAP_SIZE, 8             # u64
        .set    MAP_TYPE, 16            # u32
        .set    MAP_ENTRY, 20
        .set    RAM, 1
        .set    RESERVED, 2

# Where things go below 1 MiB. All of it is free again for the kernel, but for what lies from 0xf0000 on.
        .set    CMDLINE, 0x20000
        .set    CMDLINE_MAX, 0xffff
        .set    SCRATCH, 0x30000        # the directory, then files we only read
        .set    SCRATCH_END, 0x90000
        .set    EBDA, 0x9fc00           # low RAM ends here on every PC
        .set    FSEG, 0xf0000           # where RSDP and SMBIOS entry point are looked for
        .set    RESET_VECTOR, 0xffff0   # where a kernel jumps that reboots "by BIOS"
        .set    HIGH_RAM, 0x100000

# Our variables, all 0 at first. The stack grows down from them, the zero page follows.
        .struct 0x6f00
stack:
descriptor:     .skip 16                # big-endian: u32 control, u32 length, u64 address
item:           .skip 4                 # name of what we are at, for messages
directory_end:  .skip 4
scratch:        .skip 4                 # first free byte of the scratch memory
fseg:           .skip 4                 # first free byte of the segment at 0xf0000
ram_end:        .skip 4                 # of RAM below 4 GiB: its end ...
top:            .skip 4                 # ... and how much of it nobody has yet
floor:          .skip 4                 # end of the room in which the kernel unpacks itself
map:            .skip 4                 # the memory map as published
map_end:        .skip 4
kernel_size:    .skip 4
value:          .skip 8
message:        .skip 128

# The zero page, by its fields.
        .struct 0x7000
zero_page:      .skip 0x70
ACPI_RSDP:      .skip 0x1e8 - 0x70      # u64, where the RSDP is
E820_ENTRIES:   .skip 0x1f1 - 0x1e8     # u8
HEADER:         .skip 0x201 - 0x1f1     # the set-up header begins
HEADER_LENGTH:  .skip 1                 # u8, its bytes from here on
HEADER_MAGIC:   .skip 4                 # "HdrS"
PROTOCOL:       .skip 0x214 - 0x206     # u16, the boot protocol's version
CODE32_START:   .skip 4                 # u32, where the kernel is
RAMDISK_IMAGE:  .skip 4                 # u32, where the initrd is
RAMDISK_SIZE:   .skip 0x228 - 0x21c     # u32
CMD_LINE_PTR:   .skip 4                 # u32
RAMDISK_MAX:    .skip 0x236 - 0x22c     # u32, last address the initrd may occupy, unless ...
XLOADFLAGS:     .skip 2                 # u16, bit 1: ... it may be anywhere
CMDLINE_SIZE:   .skip 0x258 - 0x238     # u32, most bytes without terminator
PREF_ADDRESS:   .skip 8                 # u64, where the kernel unpacks itself
INIT_SIZE:      .skip 0x290 - 0x260     # u32, bytes it needs from there
HEADER_END:     .skip 0x2d0 - 0x290     # the longest header ends before this
E820_TABLE:     .skip 0xd00 - 0x2d0     # 128 entries at most
E820_END:       .skip 0x1000 - 0xd00
zero_page_end:

# ---- from the reset vector to protected mode -------------------------------------------------------------------------
        .text
image:
        .code16
start:  cli
        cld
        lgdtl   %cs:gdt_register - image + 0x10000 - ROM_SIZE
        movl    $0x11, %eax             # CR0: protection on; caches, which a reset switches off, on
        movl    %eax, %cr0
        ljmpl   $gdt_code - gdt, $protected

# The selectors are those that the kernel expects: __BOOT_CS, __BOOT_DS. "Accessed" is set, as a ROM cannot be written to.
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
        movl    $stack, %edi            # A reboot finds in RAM what the last guest has left there.
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
        andl    $~0xfff, top            # What is above belongs to the tables, in whole pages.
        call    load_initrd
        call    write_memory_map
        call    load_command_line
        call    load_kernel

        movl    PREF_ADDRESS, %eax
        movl    %eax, CODE32_START
        movl    $zero_page, %esi
        xorl    %ebx, %ebx
        xorl    %ebp, %ebp
        xorl    %edi, %edi
        jmp     *%eax

# ---- the machine -----------------------------------------------------------------------------------------------------
# Memory types: all write-back, which is what KVM makes of it anyway. The kernel trusts a CPU more whose MTRRs are on.
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

# Linux reboots a machine like ours by a jump to F000:FFF0. Code that resets the machine goes there.
guard_reset_vector:
        movl    $reset_name, item
        movl    $FSEG, fseg
        call    1f
        je      2f
        movl    $0x80000058, %eax       # The host bridge of an i440FX shows ROM there until told: PAM0, 0x59, bits 4 and 5.
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
        movw    $0xcf9, %dx             # the reset control register: the system, now
        movb    $0x06, %al
        outb    %al, %dx
        movb    $0xfe, %al              # the keyboard controller: pulse the reset line
        outb    %al, $0x64
1:      hlt
        jmp     1b
        .skip   16 - (. - reset_code), 0x90
        .code32

# ---- fw_cfg ----------------------------------------------------------------------------------------------------------
# Finds the device and has it copy its directory of files.
read_directory:
        movl    $directory_name, item
        movl    $text_no_dma, %esi
        movw    $DMA_ADDRESS, %dx
        inl     %dx, %eax
        cmpl    $0x554d4551, %eax       # "QEMU"
        jne     fail
        movw    $DMA_ADDRESS + 4, %dx
        inl     %dx, %eax
        cmpl    $0x47464320, %eax       # " CFG"
        jne     fail
        movl    $KEY_DIRECTORY, %eax
        call    read_value
        bswap   %ecx                    # how many files
        cmpl    $(SCRATCH_END - SCRATCH) / FILE_ENTRY, %ecx
        ja      no_room
        shll    $6, %ecx
        movl    $SCRATCH, %edi
        leal    (%edi,%ecx), %eax
        movl    %eax, scratch
        movl    %eax, directory_end
        movl    $DMA_READ, %eax
        jmp     transfer

# Answers with the entry of the file whose name %esi points to, in %ebx; carry: there is none. Keeps %esi.
find:   movl    %esi, item
        movl    $SCRATCH, %ebx
1:      cmpl    %ebx, directory_end
        jbe     4f
        pushl   %esi
        leal    FILE_NAME(%ebx), %edi
2:      lodsb
        scasb
        jne     3f
        testb   %al, %al
        jnz     2b
3:      popl    %esi
        je      5f
        addl    $FILE_ENTRY, %ebx
        jmp     1b
4:      stc
5:      ret

# The same for a file that has to be there.
need:   call    find
        jc      missing
        ret

# Bits 16 to 31 of %eax: the key of the file at %ebx.
file_key:
        movzwl  FILE_KEY(%ebx), %eax
        xchgb   %al, %ah
        shll    $16, %eax
        ret

# %ecx: bytes of the file at %ebx.
file_size:
        movl    FILE_SIZE(%ebx), %ecx
        bswap   %ecx
        ret

# Copies the file at %ebx to scratch memory; %edi: where that is.
load_scratch:
        call    file_size
        movl    scratch, %edi
        movl    %edi, %eax
        addl    %ecx, %eax
        jc      no_room
        cmpl    $SCRATCH_END, %eax
        ja      no_room
        movl    %eax, scratch

# Copies the file at %ebx to %edi.
load:   leal    FILE_NAME(%ebx), %eax
        movl    %eax, item
        call    file_size
        call    file_key
        orb     $DMA_SELECT | DMA_READ, %al
        jmp     transfer

# %ecx: the u32 that is item %eax.
read_value:
        movl    $4, %ecx
        movl    $value, %edi
        call    read
        movl    value, %ecx
        ret

# Reads %ecx bytes of item %eax to %edi. What the item does not have becomes zeros, and is no error.
read:   shll    $16, %eax
        orb     $DMA_SELECT | DMA_READ, %al

# Runs an operation: %eax = control, %ecx = bytes, %edi = address. Keeps all registers but %eax and %edx.
transfer:
        call    dma
        jz      1f
        movl    $text_dma_error, %esi
        jmp     fail
1:      ret

# The same; not zero: there was an error.
dma:    bswap   %eax
        bswap   %ecx
        bswap   %edi
        movl    %eax, descriptor
        movl    %ecx, descriptor + 4
        movl    %edi, descriptor + 12
        bswap   %edi
        bswap   %ecx
        movl    $descriptor, %eax
        bswap   %eax
        movw    $DMA_ADDRESS + 4, %dx
        outl    %eax, %dx
1:      movl    descriptor, %eax        # QEMU and chukka are done now; another device may take its time.
        bswap   %eax
        testl   $~DMA_ERROR, %eax
        jz      2f
        pause
        jmp     1b
2:      testl   %eax, %eax
        ret

# ---- memory ----------------------------------------------------------------------------------------------------------
# Reads the memory map, and finds the end of RAM below 4 GiB.
read_memory_map:
        movl    $map_name, %esi
        call    need
        call    load_scratch
        movl    %edi, map
        movl    scratch, %ecx
        movl    %ecx, map_end
        jmp     3f
1:      cmpl    $RAM, MAP_TYPE(%edi)
        jne     2f
        call    map_entry_end
        jnz     2f
        cmpl    ram_end, %eax
        jbe     2f
        movl    %eax, ram_end
        movl    %eax, top
2:      addl    $MAP_ENTRY, %edi
3:      leal    MAP_ENTRY(%edi), %eax
        cmpl    map_end, %eax
        jbe     1b
        ret

# %eax: where the entry at %edi ends; not zero: beyond 4 GiB.
map_entry_end:
        movl    MAP_START(%edi), %eax
        movl    MAP_START + 4(%edi), %edx
        addl    MAP_SIZE(%edi), %eax
        adcl    MAP_SIZE + 4(%edi), %edx
        ret

# Room for %ecx bytes at a multiple of %edx in %edi, as high as there is RAM.
high:   movl    top, %edi
        subl    %ecx, %edi
        jb      no_room
        negl    %edx
        andl    %edx, %edi
        cmpl    floor, %edi
        jb      no_room
        movl    %edi, top
        ret

# The same at 0xf0000, from the bottom up.
low:    movl    fseg, %edi
        leal    -1(%edi,%edx), %edi
        negl    %edx
        andl    %edx, %edi
        movl    %edi, %eax
        addl    %ecx, %eax
        jc      no_room
        cmpl    $RESET_VECTOR, %eax
        ja      no_room
        movl    %eax, fseg
        ret

# The map for the kernel: as published, less what lies between low RAM and 1 MiB and what the tables have at the top.
write_memory_map:
        movl    $map_name, item
        movl    map, %esi
        movl    $E820_TABLE, %edi
        jmp     4f
1:      cmpl    $E820_END - 6 * MAP_ENTRY, %edi
        ja      no_room
        cmpl    $RAM, MAP_TYPE(%esi)
        jne     3f
        xchgl   %esi, %edi
        call    map_entry_end
        xchgl   %esi, %edi
        jnz     2f
        cmpl    ram_end, %eax
        jne     2f
        subl    top, %eax
        subl    %eax, MAP_SIZE(%esi)
        sbbl    $0, MAP_SIZE + 4(%esi)
2:      movl    MAP_START(%esi), %eax
        orl     MAP_START + 4(%esi), %eax
        jnz     3f
        pushl   %esi
        movl    $legacy_map, %esi
        movl    $2 * MAP_ENTRY / 4, %ecx
        rep movsl
        popl    %esi
        movl    $HIGH_RAM, %eax
        movl    %eax, MAP_START(%esi)
        subl    %eax, MAP_SIZE(%esi)
        sbbl    $0, MAP_SIZE + 4(%esi)
        jnb     3f
        addl    $MAP_ENTRY, %esi        # It ends below 1 MiB.
        jmp     4f
3:      movl    $MAP_ENTRY / 4, %ecx
        rep movsl
4:      leal    MAP_ENTRY(%esi), %eax
        cmpl    map_end, %eax
        jbe     1b

        movl    top, %eax               # The tables, ...
        movl    ram_end, %edx
        subl    %eax, %edx
        jz      5f
        stosl
        xorl    %eax, %eax
        stosl
        movl    %edx, %eax
        stosl
        xorl    %eax, %eax
        stosl
        movl    $RESERVED, %eax
        stosl
5:      movl    $rom_map, %esi          # ... and this ROM.
        movl    $MAP_ENTRY / 4, %ecx
        rep movsl
        leal    -E820_TABLE(%edi), %eax
        movb    $MAP_ENTRY, %cl
        divb    %cl
        movb    %al, E820_ENTRIES
        ret

legacy_map:
        .long   0, 0, EBDA, 0, RAM
        .long   EBDA, 0, HIGH_RAM - EBDA, 0, RESERVED
rom_map:
        .long   image, 0, ROM_SIZE, 0, RESERVED

# ---- tables ----------------------------------------------------------------------------------------------------------
# A command of the linker-loader script, which %ebp points to: 128 bytes.
        .set    WHAT, 0                 # u32: 1 to 4
        .set    FILE, 4                 # char[56]
        .set    ALIGNMENT, 60           # 1 ALLOCATE: u32
        .set    ZONE, 64                #   u8: 2 for the segment at 0xf0000
        .set    SOURCE, 60              # 2 ADD_POINTER and 4 WRITE_POINTER: char[56]
        .set    AT, 116                 #   u32: offset of the pointer in FILE
        .set    POINTER_SIZE, 120       #   2: u8
        .set    SOURCE_OFFSET, 120      #   4: u32
        .set    WRITTEN_SIZE, 124       #   4: u8
        .set    SUM_AT, 60              # 3 ADD_CHECKSUM: u32, offset of the sum in FILE
        .set    SUM_START, 64           #   u32: offset of the first byte it is of
        .set    SUM_LENGTH, 68          #   u32
        .set    COMMAND, 128

# Puts the ACPI tables into memory as the script says. A machine without the script has none.
place_tables:
        movl    $script_name, %esi
        call    find
        jc      2f
        call    load_scratch
        movl    %edi, %ebp
        jmp     1f
next:   addl    $COMMAND, %ebp
1:      leal    COMMAND(%ebp), %eax
        cmpl    scratch, %eax
        ja      2f
        leal    FILE(%ebp), %esi
        movl    WHAT(%ebp), %eax
        decl    %eax
        jz      allocate
        decl    %eax
        jz      add_pointer
        decl    %eax
        jz      add_checksum
        decl    %eax
        jz      write_pointer
        jmp     next                    # Others are for firmware that knows them.
2:      ret

allocate:
        call    need
        call    file_size
        movl    ALIGNMENT(%ebp), %edx
        testl   %edx, %edx
        jz      bad_script
        cmpb    $2, ZONE(%ebp)
        je      1f
        call    high
        jmp     2f
1:      call    low
2:      call    load
        movl    %edi, FILE_ADDRESS(%ebx)
        cmpl    $0x20445352, (%edi)     # "RSD "
        jne     next
        cmpl    $0x20525450, 4(%edi)    # "PTR "
        jne     next
        movl    %edi, ACPI_RSDP         # From here all tables are found.
        jmp     next

add_pointer:
        leal    SOURCE(%ebp), %esi
        call    placed
        pushl   %edi
        leal    FILE(%ebp), %esi
        call    placed
        movl    AT(%ebp), %eax
        movzbl  POINTER_SIZE(%ebp), %edx
        call    inside
        popl    %eax
        cmpl    $4, %edx
        jb      bad_script              # No address of ours fits.
        addl    %eax, (%edi)
        setc    %al
        cmpl    $8, %edx
        jne     next
        movzbl  %al, %eax
        addl    %eax, 4(%edi)
        jmp     next

add_checksum:
        call    placed
        pushl   %edi
        movl    SUM_START(%ebp), %eax
        movl    SUM_LENGTH(%ebp), %edx
        call    inside
        call    complement
        popl    %edi
        pushl   %eax
        movl    SUM_AT(%ebp), %eax
        movl    $1, %edx
        call    inside
        popl    %eax
        addb    %al, (%edi)
        jmp     next

write_pointer:
        leal    SOURCE(%ebp), %esi
        call    placed
        addl    SOURCE_OFFSET(%ebp), %edi
        movl    %edi, value
        movl    $0, value + 4
        leal    FILE(%ebp), %esi
        call    need
        movl    AT(%ebp), %ecx
        call    file_key
        orb     $DMA_SELECT | DMA_SKIP, %al
        call    transfer
        movzbl  WRITTEN_SIZE(%ebp), %ecx
        movl    $value, %edi
        movl    $DMA_WRITE, %eax
        call    transfer
        jmp     next

# Where the file named at %esi has been placed: %edi, and its size in %ecx.
placed: call    need
        movl    FILE_ADDRESS(%ebx), %edi
        cmpl    $0x10000, %edi          # A key, not an address?
        jb      bad_script
        jmp     file_size

# Moves %edi on by %eax, if from there %edx bytes are within the %ecx there are.
inside: addl    %eax, %edi
        addl    %edx, %eax
        jc      bad_script
        cmpl    %ecx, %eax
        ja      bad_script
        ret

# %al: what makes the sum of %edx bytes at %edi 0. Keeps %edi.
complement:
        xorl    %eax, %eax
        jmp     2f
1:      subb    (%edi,%edx), %al
2:      decl    %edx
        jns     1b
        ret

# SMBIOS: the structures go to the top of RAM, after the one that describes the firmware, which is ours to give; the entry point
# goes where it is looked for.
        .set    ENTRY_LONGEST, 8        # u16, bytes of the biggest structure
        .set    ENTRY_LENGTH, 22        # u16, bytes of all
        .set    ENTRY_ADDRESS, 24       # u32, where they are
        .set    ENTRY_COUNT, 28         # u16
        .set    ENTRY_SIZE, 31
place_smbios:
        movl    $structures_name, %esi
        call    find
        jc      2f
        call    file_size
        addl    $bios_structure_end - bios_structure, %ecx
        movl    $16, %edx
        call    high
        pushl   %edi
        movl    $bios_structure, %esi
        movl    $bios_structure_end - bios_structure, %ecx
        rep movsb
        call    load

        movl    $entry_name, %esi
        call    need
        call    file_size
        cmpl    $ENTRY_SIZE, %ecx       # That of version 2; version 3 has another.
        jne     1f
        movl    $16, %edx
        call    low
        call    load
        popl    ENTRY_ADDRESS(%edi)
        addw    $bios_structure_end - bios_structure, ENTRY_LENGTH(%edi)
        incw    ENTRY_COUNT(%edi)
        cmpw    $bios_structure_end - bios_structure, ENTRY_LONGEST(%edi)
        jae     3f
        movw    $bios_structure_end - bios_structure, ENTRY_LONGEST(%edi)
3:      addl    $16, %edi               # The second half has a sum of its own, ...
        movl    $ENTRY_SIZE - 16, %edx
        call    complement
        movb    %al, 21 - 16(%edi)
        subl    $16, %edi               # ... and then the whole.
        movl    $ENTRY_SIZE, %edx
        call    complement
        movb    %al, 4(%edi)
        ret
1:      popl    %eax
2:      ret

bios_structure:
        .byte   0, 24                   # type; bytes without strings
        .word   0                       # handle
        .byte   1, 2                    # strings: vendor, version
        .word   0xf000                  # segment of the reset vector
        .byte   3, 0                    # string: release date; 64 KiB
        .quad   0x08                    # "characteristics are not supported"
        .byte   0, 0x14                 # UUIDs tell machines apart; this is a virtual machine
        .byte   0xff, 0xff, 0xff, 0xff  # no version numbers
        .asciz  "chukka"
        .asciz  "built-in"
        .asciz  "01/01/2026"
        .byte   0
bios_structure_end:

# ---- the kernel ------------------------------------------------------------------------------------------------------
# Reads the set-up header, straight into the zero page, and works out the kernel's room.
read_header:
        movl    $kernel_name, item
        movl    $KEY_SETUP_DATA, %eax
        movl    $HEADER_END - zero_page, %ecx
        movl    $zero_page, %edi
        call    read
        cmpl    $0x53726448, HEADER_MAGIC       # "HdrS"
        jne     missing
        movl    $text_old, %esi
        cmpw    $0x20a, PROTOCOL        # Since 2.10 a kernel tells how much room it needs, and where.
        jb      fail
        movl    $HEADER - zero_page, %ecx
        xorl    %eax, %eax
        rep stosb                       # The kernel wants zeros before its header ...
        movzbl  HEADER_LENGTH, %edi
        addl    $HEADER_MAGIC, %edi
        movl    $HEADER_END, %ecx
        subl    %edi, %ecx
        jbe     1f
        rep stosb                       # ... and after it.
1:      movl    $KEY_KERNEL_SIZE, %eax
        call    read_value
        testl   %ecx, %ecx
        jz      missing
        movl    %ecx, kernel_size
        cmpl    $0, PREF_ADDRESS + 4
        jne     no_room
        cmpl    INIT_SIZE, %ecx
        jae     2f
        movl    INIT_SIZE, %ecx
2:      addl    PREF_ADDRESS, %ecx
        jc      no_room
        cmpl    top, %ecx
        ja      no_room
        movl    %ecx, floor
        ret

# Loads the kernel to where it unpacks itself: wherever else it was, it would need more memory, and touch more.
load_kernel:
        movl    $kernel_name, item
        movl    kernel_size, %ecx
        movl    PREF_ADDRESS, %edi
        movl    $KEY_KERNEL_DATA, %eax
        jmp     read

# Loads the command line, with a zero after it.
load_command_line:
        movl    $command_line_name, item
        movl    CMDLINE_SIZE, %ecx
        cmpl    $CMDLINE_MAX, %ecx
        jbe     1f
        movl    $CMDLINE_MAX, %ecx
1:      movl    $CMDLINE, %edi
        movl    %edi, CMD_LINE_PTR
        movl    $KEY_CMDLINE_DATA, %eax
        call    read
        movb    $0, (%edi,%ecx)
        ret

# Loads the initrd, if there is one, as high as RAM and the kernel allow, at the start of a page.
load_initrd:
        movl    $initrd_name, item
        movl    $KEY_INITRD_SIZE, %eax
        call    read_value
        jecxz   2f
        movl    top, %edi
        testb   $1 << 1, XLOADFLAGS
        jnz     1f
        movl    RAMDISK_MAX, %eax
        incl    %eax
        jz      1f
        cmpl    %eax, %edi
        jbe     1f
        movl    %eax, %edi
1:      subl    %ecx, %edi
        jb      no_room
        andl    $~0xfff, %edi
        cmpl    floor, %edi
        jb      no_room
        movl    %edi, RAMDISK_IMAGE
        movl    %ecx, RAMDISK_SIZE
        movl    $KEY_INITRD_DATA, %eax
        call    read
2:      ret

# ---- what goes wrong -------------------------------------------------------------------------------------------------
missing:
        movl    $text_missing, %esi
        jmp     fail
bad_script:
        movl    $script_name, item
        movl    $text_bad_script, %esi
        jmp     fail
no_room:
        movl    $text_no_room, %esi

# Says the name of the item and the text at %esi, and ends.
fail:   pushl   %esi
        movl    $message, %edi
        movl    item, %esi
        call    append
        popl    %esi
        call    append
        pushl   %edi
        movl    $text_prefix, %esi
        call    print
        movl    $message, %esi
        call    print
        movl    $text_suffix, %esi
        call    print
        popl    %ecx
        movl    $error_name, %esi
        call    find                    # In vain, where there is no directory yet.
        jc      1f
        movl    $message, %edi
        subl    %edi, %ecx
        call    file_key
        orb     $DMA_SELECT | DMA_WRITE, %al
        call    dma
1:      hlt
        jmp     1b

# Copies the text at %esi to %edi, without its zero. The longest text and a file's name are shorter than the message.
append: lodsb
        stosb
        testb   %al, %al
        jnz     append
        decl    %edi
        ret

# Prints the text at %esi on COM1.
print:  lodsb
        testb   %al, %al
        jz      3f
        movb    %al, %ah
        movl    $4096, %ecx             # at most so often: a port that is never ready does not stop us
1:      movw    $0x3fd, %dx             # line status; bit 5: ready for the next byte
        inb     %dx, %al
        testb   $0x20, %al
        loopz   1b
        movw    $0x3f8, %dx
        movb    %ah, %al
        outb    %al, %dx
        jmp     print
3:      ret

text_prefix:            .asciz  "chukka builtin: "
text_suffix:            .asciz  "\r\n"
text_no_dma:            .asciz  ": fw_cfg has no DMA here"
text_missing:           .asciz  ": fw_cfg has none"
text_dma_error:         .asciz  ": fw_cfg DMA error"
text_no_room:           .asciz  ": no room; give the guest more memory"
text_no_ram:            .asciz  ": no RAM there"
text_old:               .asciz  ": its boot protocol is older than 2.10"
text_bad_script:        .asciz  ": a command is wrong"
directory_name:         .asciz  "file directory"
reset_name:             .asciz  "reset vector"
kernel_name:            .asciz  "kernel"
initrd_name:            .asciz  "initrd"
command_line_name:      .asciz  "command line"
map_name:               .asciz  "etc/e820"
script_name:            .asciz  "etc/table-loader"
entry_name:             .asciz  "etc/smbios/smbios-anchor"
structures_name:        .asciz  "etc/smbios/smbios-tables"
error_name:             .asciz  "opt/org.chukka/boot-error"

# ---- the reset vector ------------------------------------------------------------------------------------------------
        .org    ROM_SIZE - 16
        .code16
        jmp     start
        .org    ROM_SIZE
